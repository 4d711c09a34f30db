//! Rows as Parquet files.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::flat_table;
use crate::results::schema::{Columns, Row};

/// Rows of a row group, which are held in memory until they are written.
const GROUP: usize = 1 << 16;

/// Encodes rows as a Parquet file, group by group.
pub(crate) struct ParquetEncoder<W: Write + Send> {
    columns: Columns,
    file: SerializedFileWriter<W>,
    rows: Vec<Row>,
}

impl<W: Write + Send> ParquetEncoder<W> {
    pub(crate) fn new(columns: &Columns, to: W) -> io::Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = SerializedFileWriter::new(to, Arc::new(schema(columns).map_err(io_error)?), Arc::new(properties));
        Ok(Self { columns: columns.clone(), file: file.map_err(io_error)?, rows: Vec::new() })
    }

    pub(crate) fn add(&mut self, row: &Row) -> io::Result<()> {
        self.rows.push(row.clone());
        if self.rows.len() == GROUP { self.write().map_err(io_error) } else { Ok(()) }
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.rows.is_empty() {
            self.write().map_err(io_error)?;
        }
        let mut to = self.file.into_inner().map_err(io_error)?;
        to.flush()?;
        Ok(to)
    }

    fn write(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.file.next_row_group()?;
        let text = |text: &str| Some(ByteArray::from(text));
        column::<Int64Type>(&mut group, rows.iter().map(|row| Some(row.index as i64)))?;
        column::<ByteArrayType>(&mut group, rows.iter().map(|row| text(&row.reference.to_string_lossy())))?;
        column::<ByteArrayType>(&mut group, rows.iter().map(|row| text(&row.candidate.to_string_lossy())))?;
        if self.columns.triplets {
            let second = |row: &Row| row.second.as_ref().and_then(|second| text(&second.to_string_lossy()));
            column::<ByteArrayType>(&mut group, rows.iter().map(second))?;
        }
        let numbers: Vec<_> = rows.iter().map(|row| flat_table::numbers(&self.columns, row)).collect();
        for at in 0..flat_table::names(&self.columns).len() {
            column::<DoubleType>(&mut group, numbers.iter().map(|numbers| numbers[at]))?;
        }
        let error = |row: &Row| row.outcome.as_ref().err().and_then(|error| text(error));
        column::<ByteArrayType>(&mut group, rows.iter().map(error))?;
        group.close()?;
        Ok(())
    }
}

fn schema(columns: &Columns) -> Result<Type, ParquetError> {
    let field = |name: &str, physical, repetition| {
        let text = if physical == Physical::BYTE_ARRAY { ConvertedType::UTF8 } else { ConvertedType::NONE };
        let builder = Type::primitive_type_builder(name, physical).with_repetition(repetition);
        Ok::<_, ParquetError>(Arc::new(builder.with_converted_type(text).build()?))
    };
    let mut fields = vec![
        field("index", Physical::INT64, Repetition::REQUIRED)?,
        field("reference", Physical::BYTE_ARRAY, Repetition::REQUIRED)?,
        field("candidate", Physical::BYTE_ARRAY, Repetition::REQUIRED)?,
    ];
    if columns.triplets {
        fields.push(field("second", Physical::BYTE_ARRAY, Repetition::OPTIONAL)?);
    }
    for name in flat_table::names(columns) {
        fields.push(field(&name, Physical::DOUBLE, Repetition::OPTIONAL)?);
    }
    fields.push(field("error", Physical::BYTE_ARRAY, Repetition::OPTIONAL)?);
    Type::group_type_builder("rows").with_fields(fields).build()
}

/// Writes the next column; `None` is a null, in columns that are optional.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("there are fewer columns than values".to_string()));
    };
    let values: Vec<Option<T::T>> = values.collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&values, Some(&levels), None)?;
    column.close()
}

/// The error of the underlying writer, where there was one.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}
