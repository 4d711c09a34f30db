//! Streaming readers of lists: CSV records and JSON lines, each with the number of its line, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use csv_core::{ReadRecordResult, Reader};

use crate::error::{Error, Result};

/// Bytes of the longest record that is read: a longer one has a quote that was not closed, or is no CSV or JSON.
pub const LONGEST: usize = 1 << 20;
const MOST_FIELDS: usize = 1 << 16;

/// The formats of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values, with or without a line of names. Blanks around a field do not belong to it.
    Csv,
    /// A JSON object on each line.
    Jsonl,
}

impl Format {
    /// The format of a file by its extension: `.csv`, or `.jsonl` and `.ndjson`.
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_string_lossy().to_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

/// A line's number, from 1, and what is wrong with it.
pub type LineError = (u64, String);

/// A list, opened to be read.
pub struct Text {
    /// Its content, without a byte order mark.
    pub stream: Stream,
    /// The first byte that is not blank: `{` begins JSON lines.
    pub first: Option<u8>,
    /// The number of the line that it is in.
    pub line: u64,
}

/// The content of a [`Text`].
pub type Stream = io::Chain<Cursor<Vec<u8>>, Box<dyn BufRead + Send>>;

impl Text {
    /// Opens a file.
    ///
    /// # Errors
    /// A folder, or a file that can't be read.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |error: io::Error| Error::io(path, "read", &error);
        if std::fs::metadata(path).map_err(fail)?.is_dir() {
            return Err(Error::file(path, "is a folder: expected a list, CSV or JSON lines"));
        }
        Self::new(File::open(path).map_err(fail)?).map_err(fail)
    }

    /// Begins to read a stream.
    ///
    /// # Errors
    /// A stream that can't be read.
    pub fn new(stream: impl Read + Send + 'static) -> io::Result<Self> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let mut stream: Box<dyn BufRead + Send> = Box::new(BufReader::new(stream));
        let (mut read, mut first) = (Vec::new(), None);
        while first.is_none() {
            let Some(byte) = stream.fill_buf()?.first().copied() else { break };
            stream.consume(1);
            read.push(byte);
            if read == MARK {
                read.clear();
            } else if !byte.is_ascii_whitespace() && !MARK.starts_with(&read) {
                first = Some(byte);
            }
        }
        let line = 1 + breaks(&read);
        Ok(Self { stream: Cursor::new(read).chain(stream), first, line })
    }
}

/// Reads JSON lines: the text of each line that is not blank.
///
/// ```
/// use lpips_data::records::JsonLines;
///
/// let mut lines = JsonLines::new("{}\n\n[1]\n".as_bytes());
/// assert_eq!(lines.read(), Ok(Some((1, "{}\n".to_string()))));
/// assert_eq!(lines.read(), Ok(Some((3, "[1]\n".to_string()))));
/// assert_eq!(lines.read(), Ok(None));
/// ```
pub struct JsonLines<R> {
    input: R,
    line: u64,
}

impl<R: BufRead> JsonLines<R> {
    /// Reads from the first line on.
    pub fn new(input: R) -> Self {
        Self { input, line: 0 }
    }

    /// Reads the next line that is not blank, and its number.
    ///
    /// # Errors
    /// A stream that can't be read, or a line that is too long or not in UTF-8.
    pub fn read(&mut self) -> Result<Option<(u64, String)>, LineError> {
        loop {
            self.line += 1;
            let wrong = |reason: String| (self.line, reason);
            let mut bytes = Vec::new();
            let read = (&mut self.input).take(LONGEST as u64).read_until(b'\n', &mut bytes);
            if read.map_err(|error| wrong(format!("can't be read: {error}")))? == 0 {
                return Ok(None);
            }
            if bytes.len() == LONGEST {
                return Err(wrong("is too long: expected one JSON object a line".to_string()));
            }
            let text = String::from_utf8(bytes).map_err(|_| wrong("is not in UTF-8, as JSON has to be".to_string()))?;
            if !text.trim().is_empty() {
                return Ok(Some((self.line, text)));
            }
        }
    }
}

/// Reads CSV records, one held at a time, as bytes.
///
/// ```
/// use lpips_data::records::CsvRecords;
///
/// let mut records = CsvRecords::new("a, b\n\"c,d\",e\n".as_bytes());
/// assert_eq!(records.read(), Ok(Some(1)));
/// assert_eq!(records.fields(), [b"a", b"b"]);
/// assert_eq!(records.read(), Ok(Some(2)));
/// assert_eq!(records.field(0), Some(&b"c,d"[..]));
/// assert_eq!(records.read(), Ok(None));
/// ```
pub struct CsvRecords<R> {
    input: R,
    parser: Reader,
    /// Line breaks read so far.
    breaks: u64,
    text: Vec<u8>,
    ends: Vec<usize>,
    fields: usize,
}

impl<R: BufRead> CsvRecords<R> {
    /// Reads from the first line on.
    pub fn new(input: R) -> Self {
        Self { input, parser: Reader::new(), breaks: 0, text: vec![0; LONGEST], ends: vec![0; 64], fields: 0 }
    }

    /// Reads the next record that is not blank; returns the number of the line that it begins in.
    ///
    /// # Errors
    /// A stream that can't be read, or a record that is too long.
    pub fn read(&mut self) -> Result<Option<u64>, LineError> {
        loop {
            match self.read_any()? {
                Some(_) if self.fields == 1 && self.field(0).is_none_or(<[u8]>::is_empty) => {}
                line => return Ok(line),
            }
        }
    }

    /// A field of the record, without the blanks around it.
    pub fn field(&self, at: usize) -> Option<&[u8]> {
        let ends = &self.ends[..self.fields];
        let start = if at == 0 { 0 } else { *ends.get(at - 1)? };
        Some(self.text[start..*ends.get(at)?].trim_ascii())
    }

    /// All fields of the record.
    pub fn fields(&self) -> Vec<&[u8]> {
        (0..self.fields).filter_map(|at| self.field(at)).collect()
    }

    fn read_any(&mut self) -> Result<Option<u64>, LineError> {
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

/// The number of line breaks in a text.
fn breaks(text: &[u8]) -> u64 {
    text.split(|byte| *byte == b'\n').skip(1).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    type Record = (u64, Vec<String>);

    /// The records' lines and fields, of a stream that comes in pieces of so many bytes.
    fn read(text: &[u8], piece: usize) -> Result<Vec<Record>, LineError> {
        let mut records = CsvRecords::new(io::BufReader::with_capacity(piece, text));
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
    fn csv_records_carry_the_number_of_their_first_line() {
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
    fn csv_records_with_many_fields_are_read_and_an_open_quote_is_refused() {
        let wide = vec!["x"; 1000].join(",");
        assert_eq!(read(wide.as_bytes(), 100).unwrap()[0].1.len(), 1000);
        let open = format!("a,b\n\"c,d\n{}", "e,f\n".repeat(LONGEST));
        assert_eq!(
            read(open.as_bytes(), 1 << 16).unwrap_err(),
            (2, "is too long for CSV: is a quote not closed?".to_string())
        );
        assert_eq!(read(",".repeat(2 * MOST_FIELDS).as_bytes(), 1 << 16).unwrap_err().0, 1);
    }

    #[test]
    fn list_text_begins_after_the_byte_order_mark_and_blanks() {
        let begin = |text: &'static [u8]| {
            let mut text = Text::new(text).unwrap();
            let mut content = String::new();
            text.stream.read_to_string(&mut content).unwrap();
            (content, text.first, text.line)
        };
        assert_eq!(begin(b"\xef\xbb\xbf\n {}"), ("\n {}".to_string(), Some(b'{'), 2));
        assert_eq!(begin(b"a,b"), ("a,b".to_string(), Some(b'a'), 1));
        assert_eq!(begin(b""), (String::new(), None, 1));
    }

    #[test]
    fn json_line_too_long_or_not_utf8_is_refused() {
        let refused = |text: &[u8]| JsonLines::new(text).read().unwrap_err();
        assert_eq!(refused(b"\n\xff"), (2, "is not in UTF-8, as JSON has to be".to_string()));
        assert_eq!(refused("x".repeat(LONGEST).as_bytes()).0, 1);
    }
}
