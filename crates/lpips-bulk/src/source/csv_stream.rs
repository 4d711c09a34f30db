//! CSV from a stream: each record as soon as its line is there, with the line's number, in bytes.

use std::io::{self, BufRead};

use csv_core::{ReadRecordResult, Reader};

/// Bytes of the longest record that is taken: what is longer is a quote that was not closed, or no CSV.
const LONGEST: usize = 1 << 20;
const MOST_FIELDS: usize = 1 << 16;

/// The records of a stream, one held at a time.
pub(crate) struct Records<R> {
    input: R,
    parser: Reader,
    /// Line breaks read so far.
    breaks: u64,
    text: Vec<u8>,
    ends: Vec<usize>,
    fields: usize,
}

impl<R: BufRead> Records<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, parser: Reader::new(), breaks: 0, text: vec![0; LONGEST], ends: vec![0; 64], fields: 0 }
    }

    /// Reads the next record that is not blank: the number of the line that it begins in, from 1 on.
    ///
    /// # Errors
    /// A stream that can't be read or a record that is too long, and the line.
    pub(crate) fn read(&mut self) -> Result<Option<u64>, (u64, String)> {
        loop {
            match self.read_any()? {
                Some(_) if self.fields == 1 && self.field(0).is_none_or(<[u8]>::is_empty) => {}
                line => return Ok(line),
            }
        }
    }

    /// A field of the record, without the blanks around it.
    pub(crate) fn field(&self, at: usize) -> Option<&[u8]> {
        let ends = &self.ends[..self.fields];
        let start = if at == 0 { 0 } else { *ends.get(at - 1)? };
        Some(self.text[start..*ends.get(at)?].trim_ascii())
    }

    /// All fields of the record.
    pub(crate) fn fields(&self) -> Vec<&[u8]> {
        (0..self.fields).filter_map(|at| self.field(at)).collect()
    }

    fn read_any(&mut self) -> Result<Option<u64>, (u64, String)> {
        let unread = |line: u64| move |error: io::Error| (line, format!("can't be read: {error}"));
        // The parser would take the line breaks before a record for a part of it.
        loop {
            let input = self.input.fill_buf().map_err(unread(self.breaks + 1))?;
            let blank = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            self.breaks += breaks(&input[..blank]);
            let done = blank < input.len() || input.is_empty();
            self.input.consume(blank);
            if done {
                break;
            }
        }
        let line = self.breaks + 1;
        let (mut length, mut fields) = (0, 0);
        loop {
            let input = self.input.fill_buf().map_err(unread(line))?;
            let (result, read, written, ended) =
                self.parser.read_record(input, &mut self.text[length..], &mut self.ends[fields..]);
            self.breaks += breaks(&input[..read]);
            self.input.consume(read);
            (length, fields) = (length + written, fields + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputEndsFull if fields < MOST_FIELDS => self.ends.resize(2 * fields, 0),
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err((line, "is too long for CSV: is a quote not closed?".to_string()));
                }
                ReadRecordResult::Record => {
                    self.fields = fields;
                    return Ok(Some(line));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }
}

/// How many line breaks there are in a text.
pub(crate) fn breaks(text: &[u8]) -> u64 {
    text.split(|byte| *byte == b'\n').skip(1).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    type Record = (u64, Vec<String>);

    /// The records' lines and fields, of a stream that comes in pieces of so many bytes.
    fn read(text: &[u8], piece: usize) -> Result<Vec<Record>, (u64, String)> {
        let mut records = Records::new(io::BufReader::with_capacity(piece, text));
        let mut all = Vec::new();
        while let Some(line) = records.read()? {
            all.push((
                line,
                records.fields().iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect(),
            ));
        }
        Ok(all)
    }

    #[test]
    fn records_have_the_lines_that_they_begin_in() {
        let text = b"\n\na, b \r\n\r\n  \n\"c,\"\"1\"\"\n\n2\",d\ne\"f,g\n\n\nlast,\"x\ny\"";
        let record = |line, a: &str, b: &str| (line, vec![a.to_string(), b.to_string()]);
        let expected =
            [record(3, "a", "b"), record(6, "c,\"1\"\n\n2", "d"), record(9, "e\"f", "g"), record(12, "last", "x\ny")];
        for piece in [1, 2, 3, 7, 64] {
            assert_eq!(read(text, piece).unwrap(), expected, "in pieces of {piece}");
        }
        assert_eq!(read(b"", 1).unwrap(), []);
        assert_eq!(read(b"\n \n\n", 1).unwrap(), []);
    }

    #[test]
    fn many_fields_are_read_and_a_quote_that_stays_open_is_told() {
        let wide = vec!["x"; 1000].join(",");
        assert_eq!(read(wide.as_bytes(), 100).unwrap()[0].1.len(), 1000);
        let open = format!("a,b\n\"c,d\n{}", "e,f\n".repeat(LONGEST));
        assert_eq!(
            read(open.as_bytes(), 1 << 16).unwrap_err(),
            (2, "is too long for CSV: is a quote not closed?".to_string())
        );
        assert_eq!(read(",".repeat(2 * MOST_FIELDS).as_bytes(), 1 << 16).unwrap_err().0, 1);
    }
}
