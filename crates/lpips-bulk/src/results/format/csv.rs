//! A row as a record of comma-separated values.

use std::borrow::Cow;
use std::io;

use super::{bytes, name, table};
use crate::results::schema::{Columns, Row};

pub(super) fn head(columns: &Columns) -> io::Result<Vec<u8>> {
    let names = ["index", "reference", "candidate"].into_iter().chain(columns.triplets.then_some("second"));
    let names = names.map(String::from).chain(table::names(columns)).chain(["error".to_string()]);
    let mut to = Vec::new();
    record(names.map(|name| Cow::Owned(name.into_bytes())), &mut to)?;
    Ok(to)
}

pub(super) fn line(columns: &Columns, row: &Row, to: &mut Vec<u8>) -> io::Result<()> {
    let text = |text: String| Cow::Owned(text.into_bytes());
    let mut fields = vec![text(row.index.to_string()), bytes(&row.reference), bytes(&row.candidate)];
    if columns.triplets {
        fields.push(row.second.as_deref().map_or(Cow::Borrowed(&[]), bytes));
    }
    for number in table::numbers(columns, row) {
        // As JSON has it, which every digit comes back from.
        fields.push(text(number.map_or(Ok(String::new()), |number| serde_json::to_string(&number))?));
    }
    fields.push(Cow::Borrowed(row.outcome.as_ref().err().map_or(&[], |error| error.as_bytes())));
    record(fields.into_iter(), to)
}

fn record<'a>(fields: impl Iterator<Item = Cow<'a, [u8]>>, to: &mut Vec<u8>) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().buffer_capacity(512).from_writer(to);
    writer.write_record(fields)?;
    writer.flush()
}

pub(super) fn parse(columns: &Columns, line: &[u8]) -> Result<Row, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).buffer_capacity(512).from_reader(line);
    let mut fields = csv::ByteRecord::new();
    reader.read_byte_record(&mut fields).map_err(|error| error.to_string())?;
    let (names, front) = (table::names(columns), 3 + usize::from(columns.triplets));
    let expected = front + names.len() + 1;
    if fields.len() != expected {
        return Err(format!("it has {} columns, not {expected}", fields.len()));
    }
    let number = |at: usize| match &fields[at] {
        b"" => Ok(None),
        text => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
            let number = number.filter(|number| number.is_finite()).map(Some);
            number.ok_or_else(|| format!("{} is no number", String::from_utf8_lossy(text)))
        }
    };
    let numbers = (front..expected - 1).map(number).collect::<Result<Vec<_>, String>>()?;
    let index = std::str::from_utf8(&fields[0]).ok().and_then(|text| text.parse().ok());
    Ok(Row {
        index: index.ok_or_else(|| format!("{} is no number of a row", String::from_utf8_lossy(&fields[0])))?,
        reference: name(&fields[1]),
        candidate: name(&fields[2]),
        second: Some(&fields[3]).filter(|second| columns.triplets && !second.is_empty()).map(name),
        outcome: if numbers.iter().all(Option::is_none) {
            Err(String::from_utf8_lossy(&fields[expected - 1]).into_owned())
        } else {
            Ok(table::measured(columns, &numbers)?)
        },
    })
}
