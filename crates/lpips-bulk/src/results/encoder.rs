//! Encoder of whole files of rows, from the first byte to the last.

use std::io::{self, Write};

use crate::results::format::Format;
#[cfg(feature = "parquet")]
use crate::results::format::ParquetEncoder;
use crate::results::schema::{Columns, Row};

/// Encodes rows of any format to a stream.
pub(crate) enum RowEncoder<W: Write + Send> {
    Text {
        format: Format,
        columns: Columns,
        to: W,
        rows: u64,
        line: Vec<u8>,
    },
    #[cfg(feature = "parquet")]
    Parquet(ParquetEncoder<W>),
}

impl<W: Write + Send> RowEncoder<W> {
    /// Writes what stands before all rows.
    pub(crate) fn new(format: Format, columns: &Columns, mut to: W) -> io::Result<Self> {
        #[cfg(feature = "parquet")]
        if format == Format::Parquet {
            return Ok(Self::Parquet(ParquetEncoder::new(columns, to)?));
        }
        to.write_all(&format.head(columns)?)?;
        Ok(Self::Text { format, columns: columns.clone(), to, rows: 0, line: Vec::new() })
    }

    /// Writes a row.
    pub(crate) fn add(&mut self, row: &Row) -> io::Result<()> {
        match self {
            Self::Text { format, columns, to, rows, line } => {
                line.clear();
                if *format == Format::Json {
                    line.extend_from_slice(if *rows == 0 { b"\n" } else { b",\n" });
                }
                format.write_row(columns, row, line)?;
                if *format == Format::Json {
                    line.pop();
                }
                *rows += 1;
                to.write_all(line)
            }
            #[cfg(feature = "parquet")]
            Self::Parquet(encoder) => encoder.add(row),
        }
    }

    /// Writes what stands after all rows.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Text { format, mut to, .. } => {
                if format == Format::Json {
                    to.write_all(b"\n]\n")?;
                }
                to.flush()?;
                Ok(to)
            }
            #[cfg(feature = "parquet")]
            Self::Parquet(encoder) => encoder.finish(),
        }
    }
}
