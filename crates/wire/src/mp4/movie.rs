//! `moov`: finding the tracks and their atoms.

use std::ops::Range;

use super::Cut;
use super::atoms::{Atom, Header, header, long_number, number, set_long_number, set_number};
use super::error::Error;
use super::track::{Sizes, Table, Track};

/// The maximum number of tracks.
const MOST_TRACKS: usize = 1000;

/// A movie. Ranges are those of the bytes with `moov`.
#[derive(Debug, Default)]
pub(super) struct Movie {
    pub(super) bytes: Vec<u8>,
    /// The body of `mvhd`.
    pub(super) header: Option<Range<usize>>,
    /// Ticks per second.
    timescale: u32,
    pub(super) tracks: Vec<Track>,
}

/// What an atom of a container means for the rest of it.
enum Taken {
    /// It has been read.
    Read,
    /// The track that it belongs to has nothing at the wanted times.
    SkipTrack,
}

/// Where an atom is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Movie,
    Track,
    Media,
    Information,
    Tables,
}

/// Reads atoms in order, as deep as they are nested.
struct Reader<'a> {
    bytes: &'a mut [u8],
    at: usize,
    cut: Cut,
    movie: Movie,
}

impl Movie {
    /// Reads the body of `moov` at `body`, and sets new durations in it. Returns the number of
    /// bytes up to where it ended.
    pub(super) fn read(
        bytes: &mut [u8],
        body: Range<usize>,
        cut: &Cut,
    ) -> Result<(Self, usize), Error> {
        let mut reader = Reader { bytes, at: body.start, cut: *cut, movie: Self::default() };
        reader.container(Level::Movie, body.end)?;
        let read = reader.at - body.start;
        Ok((reader.movie, read))
    }

    /// The movie with the bytes that it has been read from.
    pub(super) fn keep(self, bytes: Vec<u8>) -> Self {
        Self { bytes, ..self }
    }

    /// Cuts all tracks. Returns the range of the file that has their samples; `file_size` and
    /// `data_end` are places in it.
    pub(super) fn cut(
        &mut self,
        cut: &Cut,
        file_size: u64,
        data_end: u64,
    ) -> Result<Range<u64>, Error> {
        let mut span = file_size..0;
        for track in &mut self.tracks {
            track.cut(&mut self.bytes, cut, file_size, data_end)?;
            span.start = span.start.min(track.data.start);
            span.end = span.end.max(track.data.end);
        }
        if span.is_empty() {
            return Err(Error::In("no data between start time and end time"));
        }
        if span.start >= data_end {
            return Err(Error::In("start time is out mp4 mdat atom"));
        }
        Ok(span)
    }
}

impl Reader<'_> {
    fn container(&mut self, level: Level, end: usize) -> Result<Taken, Error> {
        while self.at < end {
            let Some(atom) = self.next(end)? else { break };
            let body = self.at + atom.head..self.at + atom.size as usize;
            if let Taken::SkipTrack = self.take(level, &atom, body)? {
                return Ok(Taken::SkipTrack);
            }
        }
        Ok(Taken::Read)
    }

    /// The next atom; None behind the last.
    fn next(&self, end: usize) -> Result<Option<Atom>, Error> {
        match header(self.bytes.get(self.at..).unwrap_or_default(), (end - self.at) as u64)? {
            Header::Needs(_) => Err(Error::Truncated),
            Header::Ends => Ok(None),
            Header::Atom(atom) => Ok(Some(atom)),
        }
    }

    fn take(&mut self, level: Level, atom: &Atom, body: Range<usize>) -> Result<Taken, Error> {
        let inner = match (level, &atom.name) {
            (Level::Movie, b"trak") => return self.track(body),
            (Level::Track, b"mdia") => Level::Media,
            (Level::Media, b"minf") => Level::Information,
            (Level::Information, b"stbl") => Level::Tables,
            _ => {
                self.at = body.end;
                return self.leaf(level, atom, body);
            }
        };
        self.once(atom, |track| match inner {
            Level::Media => std::mem::replace(&mut track.has_media, true),
            Level::Information => std::mem::replace(&mut track.has_information, true),
            _ => std::mem::replace(&mut track.has_tables, true),
        })?;
        self.at = body.start;
        self.container(inner, body.end)
    }

    fn leaf(&mut self, level: Level, atom: &Atom, body: Range<usize>) -> Result<Taken, Error> {
        match (level, &atom.name) {
            (Level::Movie, b"mvhd") => self.movie_header(body),
            (Level::Movie, b"cmov") => Err(Error::Compressed),
            (Level::Track, b"tkhd") => self.track_header(body),
            (Level::Media, b"mdhd") => self.media_header(body),
            (Level::Media, b"hdlr") => self.put(atom, body, |track| &mut track.handler),
            (Level::Information, b"vmhd" | b"smhd") => {
                if self
                    .track_now()
                    .is_some_and(|track| track.video.is_some() || track.sound.is_some())
                {
                    return Err(Error::Duplicate("vmhd/smhd"));
                }
                self.put(atom, body, |track| match atom.name[0] {
                    b'v' => &mut track.video,
                    _ => &mut track.sound,
                })
            }
            (Level::Information, b"dinf") => self.put(atom, body, |track| &mut track.data_info),
            (Level::Tables, _) => self.table(atom, body),
            _ => Ok(Taken::Read),
        }
    }

    fn table(&mut self, atom: &Atom, body: Range<usize>) -> Result<Taken, Error> {
        match &atom.name {
            b"stsd" if body.len() < 16 => Err(Error::TooSmall("stsd")),
            b"stsd" => self.put(atom, body, |track| &mut track.description),
            b"stts" => self.rows(atom, body, 8, |track| &mut track.times),
            b"stss" => self.rows(atom, body, 4, |track| &mut track.key_frames),
            b"ctts" => self.rows(atom, body, 8, |track| &mut track.compositions),
            b"stsc" => self.rows(atom, body, 12, |track| &mut track.chunks),
            b"stsz" => self.sizes(atom, body),
            b"stco" | b"co64" => {
                let wide = atom.name[0] == b'c' && atom.name[1] == b'o';
                if self.track_now().is_some_and(|track| track.offsets.is_some()) {
                    return Err(Error::Duplicate("stco/co64"));
                }
                if let Some(track) = self.movie.tracks.last_mut() {
                    track.wide = wide;
                }
                self.rows(atom, body, if wide { 8 } else { 4 }, |track| &mut track.offsets)
            }
            _ => Ok(Taken::Read),
        }
    }

    fn track_now(&self) -> Option<&Track> {
        self.movie.tracks.last()
    }

    fn track(&mut self, body: Range<usize>) -> Result<Taken, Error> {
        if self.movie.tracks.len() == MOST_TRACKS {
            return Err(Error::In("too many mp4 trak atoms"));
        }
        self.movie.tracks.push(Track::default());
        self.at = body.start;
        if let Taken::SkipTrack = self.container(Level::Track, body.end)? {
            self.movie.tracks.pop();
            self.at = body.end;
        }
        Ok(Taken::Read)
    }

    /// Refuses a second atom of a name; `seen` says whether there was one, and notes this one.
    fn once(&mut self, atom: &Atom, seen: impl FnOnce(&mut Track) -> bool) -> Result<(), Error> {
        match self.movie.tracks.last_mut().is_some_and(seen) {
            true => Err(Error::Duplicate(known(atom))),
            false => Ok(()),
        }
    }

    /// Keeps an atom that is passed on as it is.
    fn put(
        &mut self,
        atom: &Atom,
        body: Range<usize>,
        place: impl FnOnce(&mut Track) -> &mut Option<Range<usize>>,
    ) -> Result<Taken, Error> {
        self.once(atom, |track| place(track).replace(body).is_some())?;
        Ok(Taken::Read)
    }

    /// Keeps a table with rows of `width` bytes behind their number.
    fn rows(
        &mut self,
        atom: &Atom,
        body: Range<usize>,
        width: usize,
        place: impl FnOnce(&mut Track) -> &mut Option<Table>,
    ) -> Result<Taken, Error> {
        let rows = rows(self.bytes, &body, 8, width).ok_or(Error::TooSmall(known(atom)))?;
        let table = Table { flags: body.start, rows };
        self.once(atom, |track| place(track).replace(table).is_some())?;
        Ok(Taken::Read)
    }

    fn sizes(&mut self, atom: &Atom, body: Range<usize>) -> Result<Taken, Error> {
        let small = Error::TooSmall("stsz");
        if body.len() < 12 {
            return Err(small);
        }
        let sizes = match number(self.bytes, body.start + 4) {
            0 => Sizes::Each(Table {
                flags: body.start,
                rows: rows(self.bytes, &body, 12, 4).ok_or(small)?,
            }),
            _ => Sizes::Equal(body),
        };
        self.once(atom, |track| track.sizes.replace(sizes).is_some())?;
        Ok(Taken::Read)
    }

    fn movie_header(&mut self, body: Range<usize>) -> Result<Taken, Error> {
        if self.movie.header.is_some() {
            return Err(Error::Duplicate("mvhd"));
        }
        let times = Times::read(self.bytes, &body, &MOVIE_HEADER).ok_or(Error::TooSmall("mvhd"))?;
        self.movie.timescale = times.scale;
        let start = ticks(self.cut.start, times.scale);
        let left = times.duration.checked_sub(start).ok_or(Error::StartsTooLate)?;
        times.put(self.bytes, self.shortened(left, times.scale));
        self.movie.header = Some(body);
        Ok(Taken::Read)
    }

    fn track_header(&mut self, body: Range<usize>) -> Result<Taken, Error> {
        let times = Times::read(self.bytes, &body, &TRACK_HEADER).ok_or(Error::TooSmall("tkhd"))?;
        let scale = self.movie.timescale;
        let start = ticks(self.cut.start, scale);
        if times.duration <= start {
            return Ok(Taken::SkipTrack);
        }
        let duration = self.shortened(times.duration - start, scale);
        if let Some(track) = self.movie.tracks.last_mut() {
            if track.header.replace(body).is_some() {
                return Err(Error::Duplicate("tkhd"));
            }
            track.movie_duration = duration;
        }
        times.put(self.bytes, duration);
        Ok(Taken::Read)
    }

    fn media_header(&mut self, body: Range<usize>) -> Result<Taken, Error> {
        let times = Times::read(self.bytes, &body, &MEDIA_HEADER).ok_or(Error::TooSmall("mdhd"))?;
        let start = ticks(self.cut.start, times.scale);
        if times.duration <= start {
            return Ok(Taken::SkipTrack);
        }
        let duration = self.shortened(times.duration - start, times.scale);
        if let Some(track) = self.movie.tracks.last_mut() {
            if track.media_header.replace((body, times)).is_some() {
                return Err(Error::Duplicate("mdhd"));
            }
            (track.timescale, track.duration) = (times.scale, duration);
        }
        Ok(Taken::Read)
    }

    /// What is wanted of a duration that begins at the start.
    fn shortened(&self, duration: u64, scale: u32) -> u64 {
        match self.cut.length {
            0 => duration,
            length => duration.min(ticks(length, scale)),
        }
    }
}

/// The rows of a table whose number stands before `head` bytes are over; None if it is too small.
fn rows(bytes: &[u8], body: &Range<usize>, head: usize, width: usize) -> Option<Range<usize>> {
    let left = body.len().checked_sub(head)?;
    let count = number(bytes, body.start + head - 4) as usize;
    let length = count.checked_mul(width).filter(|&length| length <= left)?;
    Some(body.start + head..body.start + head + length)
}

/// The name of an atom that is read, for messages.
fn known(atom: &Atom) -> &'static str {
    const NAMES: [&str; 14] = [
        "mdia", "minf", "stbl", "hdlr", "vmhd", "smhd", "dinf", "stsd", "stts", "stss", "ctts",
        "stsc", "stsz", "stco",
    ];
    NAMES.into_iter().find(|name| name.as_bytes() == atom.name).unwrap_or("co64")
}

/// Milliseconds in ticks.
pub(super) fn ticks(milliseconds: u64, scale: u32) -> u64 {
    milliseconds.wrapping_mul(u64::from(scale)) / 1000
}

/// Where a header has its times, in bytes from the start of its body: for version 0, whose times
/// have 32 bits, and for version 1 with 64.
struct Layout {
    scale: [usize; 2],
    duration: [usize; 2],
    length: [usize; 2],
}

/// ISO/IEC 14496-12 section 8.2.2.
const MOVIE_HEADER: Layout = Layout { scale: [12, 20], duration: [16, 24], length: [100, 112] };

/// Section 8.3.2. It has no timescale; that of the movie counts.
const TRACK_HEADER: Layout = Layout { scale: [0, 0], duration: [20, 28], length: [84, 96] };

/// Section 8.4.2.
const MEDIA_HEADER: Layout = Layout { scale: [12, 20], duration: [16, 24], length: [24, 36] };

/// The times of a header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    scale: u32,
    duration: u64,
    /// The place of the duration.
    at: usize,
    is_long: bool,
}

impl Times {
    /// None if the header is too small.
    fn read(bytes: &[u8], body: &Range<usize>, layout: &Layout) -> Option<Self> {
        if body.len() < layout.length[0] {
            return None;
        }
        let version = usize::from(bytes.get(body.start).is_some_and(|&version| version != 0));
        if body.len() < layout.length[version] {
            return None;
        }
        let (scale, at) =
            (body.start + layout.scale[version], body.start + layout.duration[version]);
        let is_long = version == 1;
        let duration = match is_long {
            true => long_number(bytes, at),
            false => u64::from(number(bytes, at)),
        };
        Some(Self { scale: number(bytes, scale), duration, at, is_long })
    }

    /// Sets the duration.
    pub(super) fn put(&self, bytes: &mut [u8], duration: u64) {
        match self.is_long {
            true => set_long_number(bytes, self.at, duration),
            false => set_number(bytes, self.at, duration as u32),
        }
    }
}
