//! Cutting the tables of samples: times, key frames, offsets of times, sizes.

use std::ops::Range;

use super::Cut;
use super::atoms::{number, set_number};
use super::error::Error;
use super::movie::ticks;
use super::track::{Sizes, Track};

impl Track {
    /// Cuts `stts`, and finds the first and the last sample by it.
    pub(super) fn cut_times(&mut self, bytes: &mut [u8], cut: &Cut) -> Result<(), Error> {
        self.start_times(bytes, cut)?;
        if cut.length != 0 {
            self.end_times(bytes, cut);
        }
        Ok(())
    }

    fn start_times(&mut self, bytes: &mut [u8], cut: &Cut) -> Result<(), Error> {
        let table = self.times.as_mut().ok_or(Error::In("no mp4 stts atoms were found"))?;
        let found = find(bytes, table.rows.clone(), ticks(cut.start, self.timescale));
        let (Some((mut row, mut before)), sample) = found else {
            return Err(Error::In("start time is out mp4 stts samples"));
        };
        let mut back = match (&self.key_frames, cut.key_frame) {
            (Some(key_frames), true) => back_to_key(bytes, key_frames.rows.clone(), sample as u32)?,
            _ => 0,
        };
        self.samples.start = sample.wrapping_sub(u64::from(back));
        let mut hidden = 0_u64;
        let mut duration = number(bytes, row + 4);
        while before < back {
            hidden = hidden.wrapping_add(u64::from(before.wrapping_mul(duration)));
            back -= before;
            if row == table.rows.start {
                return Err(Error::In("start time is out mp4 stts samples"));
            }
            row -= 8;
            (before, duration) = (number(bytes, row), number(bytes, row + 4));
        }
        hidden = hidden.wrapping_add(u64::from(back.wrapping_mul(duration)));
        self.hidden = hidden;
        self.duration = self.duration.wrapping_add(hidden);
        let count = number(bytes, row);
        set_number(bytes, row, count.wrapping_sub(before - back));
        table.rows.start = row;
        Ok(())
    }

    fn end_times(&mut self, bytes: &mut [u8], cut: &Cut) {
        let Some(table) = &mut self.times else { return };
        let time = ticks(cut.length, self.timescale).wrapping_add(self.hidden);
        let (found, count) = find(bytes, table.rows.clone(), time);
        if let Some((row, before)) = found {
            set_number(bytes, row, before);
            table.rows.end = row + 8;
        }
        self.samples.end = self.samples.start.wrapping_add(count);
    }

    /// Cuts `stss`, and counts its samples from the new first one.
    pub(super) fn cut_key_frames(&mut self, bytes: &mut [u8], cut: &Cut) {
        let Some(table) = &mut self.key_frames else { return };
        let rows = table.rows.clone();
        let find = |from: usize, bound: u32| {
            (from..rows.end).step_by(4).find(|&row| number(bytes, row) >= bound).unwrap_or(rows.end)
        };
        let first = self.samples.start as u32;
        table.rows.start = find(rows.start, first.wrapping_add(1));
        if cut.length != 0 {
            table.rows.end = find(table.rows.start, (self.samples.end as u32).wrapping_add(1));
        }
        for row in table.rows.clone().step_by(4) {
            let sample = number(bytes, row).wrapping_sub(first);
            set_number(bytes, row, sample);
        }
    }

    /// Cuts `ctts`, and drops it if nothing is left.
    pub(super) fn cut_compositions(&mut self, bytes: &mut [u8], cut: &Cut) {
        let Some(table) = &mut self.compositions else { return };
        // Samples are counted from 1 here.
        let first = (self.samples.start as u32).wrapping_add(1);
        match find_run(bytes, table.rows.clone(), first) {
            Some((row, before)) => {
                let count = number(bytes, row);
                set_number(bytes, row, count.wrapping_sub(before));
                table.rows.start = row;
            }
            None => table.rows.start = table.rows.end,
        }
        if cut.length != 0 {
            let end = self.samples.end.wrapping_sub(self.samples.start) as u32;
            if let Some((row, before)) = find_run(bytes, table.rows.clone(), end.wrapping_add(1)) {
                set_number(bytes, row, before);
                table.rows.end = row + 8;
            }
        }
        if table.rows.is_empty() {
            self.compositions = None;
        }
    }

    /// Cuts `stsz`, and adds up the sizes of samples that are cut off from chunks.
    pub(super) fn cut_sizes(
        &mut self,
        bytes: &[u8],
        cut: &Cut,
        file_size: u64,
    ) -> Result<(), Error> {
        let Some(Sizes::Each(table)) = &mut self.sizes else { return Ok(()) };
        let all = table.rows.clone();
        let count = (all.len() / 4) as u64;
        let sum = |end: usize, samples: u64| {
            let start = usize::try_from(samples).ok()?.checked_mul(4)?;
            let start = end.checked_sub(start).filter(|&start| start >= all.start)?;
            let sum = (start..end).step_by(4).map(|at| u64::from(number(bytes, at))).sum::<u64>();
            (sum <= file_size).then_some(sum)
        };
        if self.samples.start >= count {
            return Err(Error::In("start time is out mp4 stsz samples"));
        }
        table.rows.start += self.samples.start as usize * 4;
        self.cut_off_bytes = sum(table.rows.start, self.cut_off)
            .ok_or(Error::In("too large mp4 start samples size"))?;
        if cut.length != 0 {
            let left = self.samples.end.wrapping_sub(self.samples.start);
            if left > count - self.samples.start {
                return Err(Error::In("end time is out mp4 stsz samples"));
            }
            table.rows.end = table.rows.start + left as usize * 4;
            self.in_last_bytes = sum(table.rows.end, self.in_last)
                .ok_or(Error::In("too large mp4 end samples size"))?;
        }
        Ok(())
    }
}

/// The sample at a time: its row in `stts` and the number of the row's samples before it, if it is
/// there, and the number of all samples before it.
fn find(bytes: &[u8], rows: Range<usize>, mut time: u64) -> (Option<(usize, u32)>, u64) {
    let mut sample = 0;
    for row in rows.step_by(8) {
        let (count, duration) = (number(bytes, row), u64::from(number(bytes, row + 4)));
        let span = u64::from(count) * duration;
        if time < span {
            let before = time / duration;
            return (Some((row, before as u32)), sample + before);
        }
        sample += u64::from(count);
        time -= span;
    }
    (None, sample)
}

/// How many samples the last key frame up to `sample` is before it.
fn back_to_key(bytes: &[u8], rows: Range<usize>, sample: u32) -> Result<u32, Error> {
    // Key frames are counted from 1.
    let sample = sample.wrapping_add(1);
    let mut back = 0;
    for row in rows.step_by(4) {
        match number(bytes, row) {
            0 => return Err(Error::In("zero sync sample")),
            key if key > sample => break,
            key => back = sample - key,
        }
    }
    Ok(back)
}

/// The row of `ctts` with a sample, counted from 1, and the number of the row's samples before it.
fn find_run(bytes: &[u8], rows: Range<usize>, mut sample: u32) -> Option<(usize, u32)> {
    for row in rows.step_by(8) {
        let count = number(bytes, row);
        if sample <= count {
            return Some((row, sample.wrapping_sub(1)));
        }
        sample -= count;
    }
    None
}
