//! Every input that the fuzzer starts from, and every one that it ever found, on the plain build. `fuzz/run` looks for new ones.

use std::path::Path;

#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

#[test]
fn targets_hold_for_the_corpora_and_for_all_that_was_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, target) in targets::ALL {
        let mut inputs = 0;
        for folder in ["corpus", "findings"] {
            let Ok(files) = std::fs::read_dir(root.join(folder).join(name)) else { continue };
            for file in files {
                let path = file.expect("a file").path();
                println!("{}", path.display());
                target(&std::fs::read(&path).expect("readable"));
                inputs += 1;
            }
        }
        assert!(inputs > 0, "{name} has no corpus");
        assert!(root.join(format!("fuzz_targets/{name}.rs")).exists(), "{name} has no fuzz_targets/{name}.rs");
    }
}
