//! Cutting the tables of chunks: the samples in them, and their places in the file.

use std::ops::Range;

use super::Cut;
use super::atoms::{long_number, number, set_long_number, set_number};
use super::error::Error;
use super::track::{Row, Track};

/// The length of a row of `stsc`.
const ROW: usize = 12;

/// A sample's place among the chunks.
struct Place {
    /// The row of `stsc` that describes its chunk.
    row: usize,
    /// The first chunk of that row, and the first of the next.
    run: Range<u32>,
    per_chunk: u32,
    /// The chunk, counted from 0.
    chunk: u64,
    /// The number of samples before it in its chunk.
    before: u32,
    /// The number of samples before it in the run.
    in_run: u32,
    /// The number of samples in the chunk before the run.
    per_chunk_before: u32,
}

impl Track {
    /// Cuts `stsc`, and finds the first and the last chunk by it.
    pub(super) fn cut_chunks(&mut self, bytes: &mut [u8], cut: &Cut) -> Result<(), Error> {
        let table = self.chunks.as_ref().ok_or(Error::In("no mp4 stsc atoms were found"))?;
        if table.rows.is_empty() {
            return Err(Error::In("zero number of entries in stsc atom"));
        }
        self.start_chunks(bytes)?;
        if cut.length != 0 {
            self.end_chunks(bytes)?;
        }
        let first = self.chunk_span.start as u32;
        let rows = self.chunks.as_ref().map_or(0..0, |table| table.rows.clone());
        for row in rows.step_by(ROW) {
            let chunk = number(bytes, row).wrapping_sub(first);
            set_number(bytes, row, chunk);
        }
        Ok(())
    }

    fn start_chunks(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let late = Error::In("start time is out mp4 stsc chunks");
        let place = self.find_chunk(bytes, self.samples.start as u32, late)?;
        let Some(table) = &mut self.chunks else { return Ok(()) };
        table.rows.start = place.row;
        self.chunk_span.start = place.chunk;
        self.cut_off = u64::from(place.before);
        set_number(bytes, place.row, place.chunk.wrapping_add(1) as u32);
        if place.before == 0 {
            return Ok(());
        }
        let left = place.per_chunk - place.before;
        if u64::from(place.run.end).wrapping_sub(place.chunk) == 2 {
            // The only chunk of its run.
            set_number(bytes, place.row + 4, left);
        } else {
            self.first_chunk = Some([1, left, number(bytes, place.row + 8)]);
            set_number(bytes, place.row, place.chunk.wrapping_add(2) as u32);
        }
        Ok(())
    }

    fn end_chunks(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let mut count = self.samples.end.wrapping_sub(self.samples.start) as u32;
        if let Some([_, samples, _]) = &mut self.first_chunk {
            *samples = (*samples).min(count);
            count -= *samples;
        }
        let late = Error::In("end time is out mp4 stsc chunks");
        let place = self.find_chunk(bytes, count, late)?;
        let Some(table) = &mut self.chunks else { return Ok(()) };
        (table.rows.end, self.in_last) = match place.in_run {
            0 => (place.row, u64::from(place.per_chunk_before)),
            _ => (place.row + ROW, u64::from(place.per_chunk)),
        };
        self.chunk_span.end = place.chunk;
        if place.before == 0 {
            return Ok(());
        }
        self.in_last = u64::from(place.before);
        self.chunk_span.end += 1;
        if u64::from(place.run.start.wrapping_add(1)).wrapping_sub(place.chunk) == 2 {
            // The first chunk of its run.
            set_number(bytes, place.row + 4, place.before);
        } else {
            let number_of_chunk = self.chunk_span.end.wrapping_sub(self.chunk_span.start) as u32;
            self.last_chunk = Some([number_of_chunk, place.before, number(bytes, place.row + 8)]);
        }
        Ok(())
    }

    /// Finds the chunk with a sample, counted from 0 at the first row.
    fn find_chunk(&self, bytes: &[u8], mut sample: u32, late: Error) -> Result<Place, Error> {
        let rows = self.chunks.as_ref().map_or(0..0, |table| table.rows.clone());
        let last_chunk = self
            .offsets
            .as_ref()
            .map_or(0, |table| (table.rows.len() / if self.wide { 8 } else { 4 }) as u32);
        let mut per_chunk_before = 0;
        for row in rows.clone().step_by(ROW) {
            let is_last = row + ROW == rows.end;
            let start = number(bytes, row);
            let end = if is_last { last_chunk.wrapping_add(1) } else { number(bytes, row + ROW) };
            if end < start {
                return Err(Error::In("unordered mp4 stsc chunks"));
            }
            let per_chunk = number(bytes, row + 4);
            let samples = u64::from(end - start) * u64::from(per_chunk);
            if u64::from(sample) < samples || is_last && u64::from(sample) == samples {
                return place(row, start..end, per_chunk, sample, per_chunk_before);
            }
            if is_last {
                break;
            }
            sample -= samples as u32;
            if end > start {
                per_chunk_before = per_chunk;
            }
        }
        Err(late)
    }

    /// Cuts `stco` or `co64`, and finds the range of the file with the samples.
    pub(super) fn cut_offsets(
        &mut self,
        bytes: &mut [u8],
        cut: &Cut,
        file_size: u64,
        data_end: u64,
    ) -> Result<(), Error> {
        let width = if self.wide { 8 } else { 4 };
        let words = Words::of(self.wide);
        let table = self.offsets.as_mut().ok_or(Error::In("no mp4 stco atoms were found"))?;
        let count = (table.rows.len() / width) as u64;
        let chunks = &self.chunk_span;
        if chunks.start >= count {
            return Err(Error::In(words.start_is_out));
        }
        table.rows.start += chunks.start as usize * width;
        let start = place_in_file(bytes, table.rows.start, width, self.cut_off_bytes, file_size)?;
        match self.wide {
            true => set_long_number(bytes, table.rows.start, start),
            false => set_number(bytes, table.rows.start, start as u32),
        }
        let mut end = data_end;
        if cut.length != 0 {
            if chunks.end > count {
                return Err(Error::In(words.end_is_out));
            }
            let left = chunks.end.saturating_sub(chunks.start) as usize;
            table.rows.end = table.rows.start + left * width;
            if left > 0 {
                let last = table.rows.end - width;
                end = place_in_file(bytes, last, width, self.in_last_bytes, file_size)?;
            }
        }
        self.data = if table.rows.is_empty() { file_size..0 } else { start..end };
        Ok(())
    }
}

fn place(
    row: usize,
    run: Range<u32>,
    per_chunk: u32,
    sample: u32,
    per_chunk_before: u32,
) -> Result<Place, Error> {
    if per_chunk == 0 {
        return Err(Error::In("zero number of samples"));
    }
    let first = run.start.checked_sub(1).ok_or(Error::In("zero chunk"))?;
    let chunk = u64::from(first) + u64::from(sample / per_chunk);
    let before = sample % per_chunk;
    Ok(Place { row, run, per_chunk, chunk, before, in_run: sample, per_chunk_before })
}

/// The place in the file of the byte that is `more` behind the start of a chunk.
fn place_in_file(
    bytes: &[u8],
    at: usize,
    width: usize,
    more: u64,
    file_size: u64,
) -> Result<u64, Error> {
    let start = if width == 8 { long_number(bytes, at) } else { u64::from(number(bytes, at)) };
    let limit = if width == 8 { u64::MAX } else { u64::from(u32::MAX) };
    let place = start.checked_add(more).filter(|&place| place <= file_size.min(limit));
    place.ok_or(Error::In("too large chunk offset"))
}

/// Messages.
struct Words {
    start_is_out: &'static str,
    end_is_out: &'static str,
}

impl Words {
    fn of(wide: bool) -> Self {
        match wide {
            true => Self {
                start_is_out: "start time is out mp4 co64 chunks",
                end_is_out: "end time is out mp4 co64 chunks",
            },
            false => Self {
                start_is_out: "start time is out mp4 stco chunks",
                end_is_out: "end time is out mp4 stco chunks",
            },
        }
    }
}

/// Adds a shift to the places of chunks, which are `rows` of `bytes`.
pub(super) fn shift(bytes: &mut [u8], rows: Range<usize>, wide: bool, by: u64) {
    match wide {
        true => {
            for at in rows.step_by(8) {
                let place = long_number(bytes, at).wrapping_add(by);
                set_long_number(bytes, at, place);
            }
        }
        false => {
            for at in rows.step_by(4) {
                let place = number(bytes, at).wrapping_add(by as u32);
                set_number(bytes, at, place);
            }
        }
    }
}

/// Appends a row of `stsc`.
pub(super) fn put_row(row: Row, out: &mut Vec<u8>) {
    row.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
}
