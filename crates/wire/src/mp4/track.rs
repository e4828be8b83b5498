//! A track: where its atoms are, and what is left of it.

use std::ops::Range;

use super::Cut;
use super::error::Error;
use super::movie::Times;

/// A track. Ranges are those of the bytes with `moov`; those of tables shrink as they are cut.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// `tkhd`.
    pub(super) header: Option<Range<usize>>,
    pub(super) has_media: bool,
    /// `mdhd`, and the times in it.
    pub(super) media_header: Option<(Range<usize>, Times)>,
    /// `hdlr`.
    pub(super) handler: Option<Range<usize>>,
    pub(super) has_information: bool,
    /// `vmhd`.
    pub(super) video: Option<Range<usize>>,
    /// `smhd`.
    pub(super) sound: Option<Range<usize>>,
    /// `dinf`.
    pub(super) data_info: Option<Range<usize>>,
    pub(super) has_tables: bool,
    /// `stsd`.
    pub(super) description: Option<Range<usize>>,
    /// `stts`: durations of samples, in runs.
    pub(super) times: Option<Table>,
    /// `stss`: the numbers of the samples that need no others.
    pub(super) key_frames: Option<Table>,
    /// `ctts`: offsets of times, in runs.
    pub(super) compositions: Option<Table>,
    /// `stsc`: samples per chunk, in runs of chunks.
    pub(super) chunks: Option<Table>,
    /// The chunk of which the track has only the end, as a row of `stsc` before its first.
    pub(super) first_chunk: Option<Row>,
    /// The chunk of which it has only the start, as a row behind the last.
    pub(super) last_chunk: Option<Row>,
    /// `stsz`: sizes of samples.
    pub(super) sizes: Option<Sizes>,
    /// `stco` or `co64`: places of chunks in the file.
    pub(super) offsets: Option<Table>,
    /// Whether these have 64 bits.
    pub(super) wide: bool,
    /// Ticks per second in the tables.
    pub(super) timescale: u32,
    /// What is left of the duration, in these ticks.
    pub(super) duration: u64,
    /// The same in the ticks of the movie.
    pub(super) movie_duration: u64,
    /// The time before the start that is sent and not shown.
    pub(super) hidden: u64,
    /// The samples that are left, counted from 0. The end is known only with a length.
    pub(super) samples: Range<u64>,
    /// The chunks, likewise.
    pub(super) chunk_span: Range<u64>,
    /// The number of samples of the first chunk that are cut off.
    pub(super) cut_off: u64,
    /// The number of samples of the last chunk that are left.
    pub(super) in_last: u64,
    /// What these two have in bytes.
    pub(super) cut_off_bytes: u64,
    pub(super) in_last_bytes: u64,
    /// The range of the file with the samples; empty if the track has none left.
    pub(super) data: Range<u64>,
}

/// A table behind version and flags.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The place of version and flags, four bytes.
    pub(super) flags: usize,
    pub(super) rows: Range<usize>,
}

/// A row of `stsc`: the first chunk, samples per chunk, the description.
pub(super) type Row = [u32; 3];

/// Sizes of samples.
#[derive(Clone, Debug)]
pub(super) enum Sizes {
    /// Each has its own.
    Each(Table),
    /// All have one; the whole atom is passed on.
    Equal(Range<usize>),
}

impl Track {
    /// Cuts all tables. Each needs the results of those before.
    pub(super) fn cut(
        &mut self,
        bytes: &mut [u8],
        cut: &Cut,
        file_size: u64,
        data_end: u64,
    ) -> Result<(), Error> {
        self.cut_times(bytes, cut)?;
        self.cut_key_frames(bytes, cut);
        self.cut_compositions(bytes, cut);
        self.cut_chunks(bytes, cut)?;
        self.cut_sizes(bytes, cut, file_size)?;
        self.cut_offsets(bytes, cut, file_size, data_end)?;
        if let Some((_, times)) = &self.media_header {
            times.put(bytes, self.duration);
        }
        Ok(())
    }
}
