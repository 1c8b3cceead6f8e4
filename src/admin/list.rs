//! Lists: filters in the address, a table, links to the pages before and after, and all rows as a file.

use std::sync::Arc;

use maud::{Markup, html};
use tokio::sync::mpsc;

use super::export::{self, Format, Part, Writer};
use super::form::{self, Control, Field};
use super::frame::{self, Page as Framed, Section};
use super::parts::{self, Column};
use super::query::Query;
use super::visit::{Answer, Me, Stopped, Visit};
use super::words::Words;
use crate::store::admin::file::{Cell, FileRow};
use crate::store::admin::totals::TotalsCache;
use crate::store::admin::{Admin, Key, Page, Sql, Start, Stop};

/// Rows on a page.
pub(super) const ROWS: usize = 100;

/// Rows that an export reads at a time.
const EXPORT_ROWS: usize = 1_000;

/// A list: what is read, and how a row is shown.
pub(super) trait List: Send + Sync + 'static {
    type Filter: Clone + Send + Sync + 'static;
    type Row: FileRow + Send + Sync + 'static;

    /// The list's address below the root of the pages, and the name of its files.
    const NAME: &'static str;
    const SECTION: Section;

    fn title(words: Words) -> &'static str;
    fn fields(words: Words) -> Vec<Field>;
    fn filter(query: &Query) -> Self::Filter;
    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        totals: &TotalsCache,
        filter: &Self::Filter,
        start: Start,
        rows: usize,
    ) -> Result<Page<Self::Row>, Stop>;
    fn columns(words: Words) -> Vec<Column>;
    fn row(visit: &Visit, me: &Me, row: &Self::Row) -> Vec<Markup>;

    /// Boxes in the rows and what is done with those that are ticked, around the table.
    fn around(_visit: &Visit, _me: &Me, table: Markup) -> Markup {
        table
    }

    /// The actions above the filters.
    fn actions(_visit: &Visit, _me: &Me) -> Markup {
        html! {}
    }
}

/// The page of a list.
pub(super) async fn page<L: List>(visit: Arc<Visit>) -> Answer {
    let filter = filter::<L>(&visit)?;
    let start = start(&visit.query);
    let totals = visit.totals();
    let (me, page) = visit.look(move |sql, admin| L::read(sql, admin, &totals, &filter, start.clone(), ROWS)).await?;
    let words = visit.words;
    let content = html! {
        (L::actions(&visit, &me))
        (form::filters(words, &visit.link(L::NAME), &L::fields(words), &visit.query))
        @let table = rows::<L>(&visit, &me, L::title(words), &page);
        @if page.rows.is_empty() { (table) } @else { (L::around(&visit, &me, table)) }
        (paging(&visit, L::NAME, &page))
    };
    Ok(frame::page(&visit, &me, &Framed::new(L::SECTION, L::title(words), content)))
}

fn filter<L: List>(visit: &Visit) -> Result<L::Filter, Stopped> {
    visit.require_valid(&L::fields(visit.words))?;
    Ok(L::filter(&visit.query))
}

/// The rows as a table.
pub(super) fn rows<L: List>(visit: &Visit, me: &Me, label: &str, page: &Page<L::Row>) -> Markup {
    let words = visit.words;
    let rows = page.rows.iter().map(|row| L::row(visit, me, row)).collect();
    parts::table_or(words.nothing_matches(), label, &L::columns(words), rows)
}

const AFTER: &str = "after";
const BEFORE: &str = "before";

pub(super) fn start(query: &Query) -> Start {
    let key = |name: &str| query.raw(name).and_then(|text| text.parse::<Key>().ok());
    match (key(AFTER), key(BEFORE)) {
        (Some(key), _) => Start::After(key),
        (None, Some(key)) => Start::Before(key),
        (None, None) => Start::First,
    }
}

/// Links to the pages before and after, and to the files. `address`: of the list, below the root of the pages.
pub(super) fn paging<R>(visit: &Visit, address: &str, page: &Page<R>) -> Markup {
    let (words, root) = (visit.words, visit.root.as_str());
    let filters = visit.query.filled().without(&[AFTER, BEFORE]);
    let first = matches!(start(&visit.query), Start::First);
    let file = address.split('?').next().unwrap_or(address);
    html! {
        nav.pages aria-label=(words.paging()) {
            @if !first { a href={ (root) (address) (filters.url()) } { (words.first_page()) } }
            @if let Some(key) = &page.previous { a href={ (root) (address) (filters.with(BEFORE, key).url()) } { (words.previous_page()) } }
            @if let Some(key) = &page.next {
                a href={ (root) (address) (filters.with(AFTER, key).url()) } data-key="n" {
                    @if page.is_partial { (words.look_further()) } @else { (words.next_page()) }
                }
            }
            span {
                (words.all_as()) " "
                a href={ (root) (file) ".csv" (filters.url()) } { "CSV" } " "
                a href={ (root) (file) ".json" (filters.url()) } { "JSON" }
            }
        }
    }
}

/// Rows that are handed out as a file.
pub(super) trait Export: Send + Sync + 'static {
    type Filter: Clone + Send + Sync + 'static;
    type Row: Send + Sync + 'static;

    /// The name of the file.
    fn name(filter: &Self::Filter) -> &'static str;
    fn columns(filter: &Self::Filter) -> Vec<&'static str>;
    fn filter(visit: &Visit) -> Result<Self::Filter, Stopped>;
    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        totals: &TotalsCache,
        filter: &Self::Filter,
        start: Start,
        rows: usize,
    ) -> Result<Page<Self::Row>, Stop>;
    fn cells(row: &Self::Row) -> Vec<Cell>;
}

impl<L: List> Export for L {
    type Filter = L::Filter;
    type Row = L::Row;

    fn name(_: &L::Filter) -> &'static str {
        L::NAME
    }

    fn columns(_: &L::Filter) -> Vec<&'static str> {
        L::Row::COLUMNS.to_vec()
    }

    fn filter(visit: &Visit) -> Result<L::Filter, Stopped> {
        filter::<L>(visit)
    }

    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        totals: &TotalsCache,
        filter: &L::Filter,
        start: Start,
        rows: usize,
    ) -> Result<Page<L::Row>, Stop> {
        L::read(sql, admin, totals, filter, start, rows)
    }

    fn cells(row: &L::Row) -> Vec<Cell> {
        row.cells()
    }
}

pub(super) async fn csv<E: Export>(visit: Arc<Visit>) -> Answer {
    export::<E>(visit, Format::Csv).await
}

pub(super) async fn json<E: Export>(visit: Arc<Visit>) -> Answer {
    export::<E>(visit, Format::Json).await
}

/// All rows that match, as a file. The first rows are read before the response begins, so that a refusal is a page and no broken file.
pub(super) async fn export<E: Export>(visit: Arc<Visit>, format: Format) -> Answer {
    let filter = E::filter(&visit)?;
    let mut page = read::<E>(&visit, &filter, Start::First).await?;
    let (sender, parts) = mpsc::channel(2);
    let mut response = export::streamed(format, E::name(&filter), parts);
    frame::secure_file(&mut response);
    tokio::spawn(async move {
        let mut writer = Writer::new(format, E::columns(&filter));
        let mut text = writer.head();
        loop {
            page.rows.iter().for_each(|row| writer.row(E::cells(row), &mut text));
            if sender.send(Part::Text(std::mem::take(&mut text))).await.is_err() {
                return;
            }
            let Some(next) = page.next.take() else { break };
            match read::<E>(&visit, &filter, Start::After(next)).await {
                Ok(next) => page = next,
                Err(_) => {
                    tracing::warn!(request_id = %visit.context().id, "an export was cut off");
                    return;
                }
            }
        }
        let _ = sender.send(Part::Text(writer.end().to_owned())).await;
        let _ = sender.send(Part::End).await;
    });
    Ok(response)
}

async fn read<E: Export>(visit: &Visit, filter: &E::Filter, start: Start) -> Result<Page<E::Row>, Stopped> {
    let (filter, totals) = (filter.clone(), visit.totals());
    let (_, page) =
        visit.look(move |sql, admin| E::read(sql, admin, &totals, &filter, start.clone(), EXPORT_ROWS)).await?;
    Ok(page)
}

/// A choice among names that have words, and none.
pub(super) fn choice(
    name: &'static str,
    label: &str,
    any: &str,
    options: impl IntoIterator<Item = (&'static str, String)>,
) -> Field {
    let options = options.into_iter().map(|(value, label)| (value.to_owned(), label));
    let options = std::iter::once((String::new(), any.to_owned())).chain(options).collect();
    Field::new(name, label, Control::Choice(options))
}
