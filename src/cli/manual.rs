//! `seatkeeper completions` and `seatkeeper man`: what a package installs beside the program, made from its own description.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::passwords::without_passwords;
use super::{CannotRun, Cli, Failure};

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

#[derive(Args)]
pub(super) struct ManArgs {
    /// Where the pages go, one file each; made if it does not exist.
    directory: PathBuf,
}

/// Prints the script that completes commands in the shell.
pub(super) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    // The generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "seatkeeper", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

/// Writes a manual page for the program and for each of its commands.
pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    fs::create_dir_all(&args.directory).map_err(|error| at(&args.directory, &error))?;
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let pages = write_pages(&program, &args.directory)?;
    let directory = without_passwords(&args.directory.display().to_string());
    writeln!(std::io::stdout(), "{pages} pages in {directory}")?;
    Ok(())
}

/// An error of a file, with its name.
fn at(path: &Path, error: &std::io::Error) -> CannotRun {
    CannotRun(format!("{}: {error}", path.display()))
}

/// The number of pages.
fn write_pages(command: &Command, directory: &Path) -> Result<usize, Failure> {
    let man = Man::new(command.clone()).manual("Seatkeeper").source(concat!("seatkeeper ", env!("CARGO_PKG_VERSION")));
    let file = directory.join(man.get_filename());
    fs::write(&file, page(command, &man)?).map_err(|error| at(&file, &error))?;
    let below: Result<Vec<usize>, Failure> =
        command.get_subcommands().map(|command| write_pages(command, directory)).collect();
    Ok(1 + below?.into_iter().sum::<usize>())
}

fn page(command: &Command, man: &Man) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(help) = command.get_after_help() {
        after_help(&mut page, &help.to_string())?;
    }
    if command.get_name() != "seatkeeper" {
        let mut roff = Roff::new();
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman("seatkeeper(1)")]);
        roff.to_writer(&mut page)?;
    }
    Ok(page)
}

/// The text below the options, line by line as the help shows it: it has examples and columns.
fn after_help(page: &mut Vec<u8>, help: &str) -> Result<(), Failure> {
    let mut roff = Roff::new();
    let is_prose = help.lines().count() == 1;
    let mut lines = help.lines().peekable();
    let begin = |roff: &mut Roff, title: &str| {
        roff.control("SH", [title]);
        if !is_prose {
            roff.control("nf", []);
        }
    };
    if lines.peek().is_some_and(|line| !is_examples(line)) {
        begin(&mut roff, "NOTES");
    }
    for line in lines {
        if is_examples(line) {
            begin(&mut roff, "EXAMPLES");
        } else {
            roff.text([roman(line)]);
        }
    }
    if !is_prose {
        roff.control("fi", []);
    }
    Ok(roff.to_writer(page)?)
}

fn is_examples(line: &str) -> bool {
    matches!(line, "Example:" | "Examples:")
}
