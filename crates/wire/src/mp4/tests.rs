//! Movies are made here, cut, and read again by code of their own.

use super::fuzz::fuzz_cut;
use super::*;

/// A track of a movie to make.
#[derive(Clone)]
struct Made {
    /// The size and the duration of each sample.
    samples: Vec<(usize, u32)>,
    key_frames: Vec<u32>,
    /// Offsets of times, in runs.
    compositions: Vec<(u32, u32)>,
    /// The numbers of samples in chunks; the last repeats.
    chunks: Vec<usize>,
    timescale: u32,
    wide: bool,
    long_headers: bool,
}

fn plain(samples: usize) -> Made {
    Made {
        samples: (0..samples).map(|n| (10 + n % 7, 100)).collect(),
        key_frames: Vec::new(),
        compositions: Vec::new(),
        chunks: vec![4],
        timescale: 1000,
        wide: false,
        long_headers: false,
    }
}

fn atom(name: &[u8], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A table: version and flags, the number of rows, the rows.
fn table(name: &[u8], rows: &[Vec<u32>]) -> Vec<u8> {
    let rows: Vec<u32> = [&[0, rows.len() as u32], &rows.concat()[..]].concat();
    atom(name, &numbers(&rows))
}

fn runs<T: PartialEq + Copy>(items: impl Iterator<Item = T>) -> Vec<(u32, T)> {
    let mut runs: Vec<(u32, T)> = Vec::new();
    for item in items {
        match runs.last_mut() {
            Some((count, last)) if *last == item => *count += 1,
            _ => runs.push((1, item)),
        }
    }
    runs
}

impl Made {
    fn chunk_sizes(&self) -> Vec<usize> {
        let (mut left, mut sizes) = (self.samples.len(), Vec::new());
        while left > 0 {
            let last = self.chunks.last().copied().unwrap_or(1);
            let size = self.chunks.get(sizes.len()).copied().unwrap_or(last).min(left);
            sizes.push(size);
            left -= size;
        }
        sizes
    }

    fn duration(&self) -> u32 {
        self.samples.iter().map(|(_, duration)| duration).sum()
    }

    /// `trak`; the track's samples lie one after the other from `place` on.
    fn atom(&self, place: u64) -> Vec<u8> {
        let duration = self.duration();
        let header = |short: usize, at: usize, long: usize, at_long: usize, scale: [usize; 2]| {
            let mut body = vec![0; if self.long_headers { long } else { short }];
            let (at, scale) = match self.long_headers {
                true => (at_long + 4, scale[1]),
                false => (at, scale[0]),
            };
            body[0] = self.long_headers.into();
            if scale > 0 {
                body[scale..scale + 4].copy_from_slice(&self.timescale.to_be_bytes());
            }
            body[at..at + 4].copy_from_slice(&duration.to_be_bytes());
            body
        };
        let times: Vec<_> = runs(self.samples.iter().map(|(_, duration)| *duration))
            .into_iter()
            .map(|(count, duration)| vec![count, duration])
            .collect();
        let (mut first, mut rows) = (1, Vec::new());
        for (count, samples) in runs(self.chunk_sizes().into_iter()) {
            rows.push(vec![first, samples as u32, 1]);
            first += count;
        }
        let sizes: Vec<u32> = self.samples.iter().map(|(size, _)| *size as u32).collect();
        let sizes: Vec<u32> = [&[0, 0, sizes.len() as u32], &sizes[..]].concat();
        let (mut sample, mut at, mut places) = (0, place, Vec::new());
        for size in self.chunk_sizes() {
            places.push(at);
            at += self.samples[sample..sample + size].iter().map(|s| s.0 as u64).sum::<u64>();
            sample += size;
        }
        let words = |place: &u64| match self.wide {
            true => vec![(place >> 32) as u32, *place as u32],
            false => vec![*place as u32],
        };
        let places: Vec<_> = places.iter().map(words).collect();
        let mut tables = atom(b"stsd", &[7; 24]);
        tables.extend(table(b"stts", &times));
        if !self.key_frames.is_empty() {
            let rows: Vec<_> = self.key_frames.iter().map(|&key| vec![key]).collect();
            tables.extend(table(b"stss", &rows));
        }
        if !self.compositions.is_empty() {
            let rows: Vec<_> = self.compositions.iter().map(|&(n, by)| vec![n, by]).collect();
            tables.extend(table(b"ctts", &rows));
        }
        tables.extend(table(b"stsc", &rows));
        tables.extend(atom(b"stsz", &numbers(&sizes)));
        tables.extend(table(if self.wide { b"co64" } else { b"stco" }, &places));
        let information = [atom(b"vmhd", &[0; 12]), atom(b"stbl", &tables)].concat();
        let media_header = header(24, 16, 36, 24, [12, 20]);
        let media = [
            atom(b"mdhd", &media_header),
            atom(b"hdlr", b"a handler"),
            atom(b"minf", &information),
        ];
        let track_header = header(84, 20, 96, 28, [0, 0]);
        let edits = atom(b"edts", &atom(b"elst", &[0; 20]));
        let parts = [atom(b"tkhd", &track_header), edits, atom(b"mdia", &media.concat())];
        atom(b"trak", &parts.concat())
    }

    fn data(&self, track: usize) -> Vec<u8> {
        (0..self.samples.len()).flat_map(|sample| self.sample(track, sample)).collect()
    }

    fn sample(&self, track: usize, sample: usize) -> Vec<u8> {
        let size = self.samples[sample].0;
        (0..size).map(|at| (track * 101 + sample * 7 + at) as u8).collect()
    }
}

/// A movie with its head before the data or behind it.
fn movie(tracks: &[Made], head_first: bool) -> Vec<u8> {
    let ftyp = atom(b"ftyp", b"isom\0\0\0\0isom");
    let data: Vec<Vec<u8>> =
        tracks.iter().enumerate().map(|(number, track)| track.data(number)).collect();
    let mut header = vec![0; 100];
    header[12..16].copy_from_slice(&1000_u32.to_be_bytes());
    let longest = tracks.iter().map(Made::duration).max().unwrap_or(0);
    header[16..20].copy_from_slice(&longest.to_be_bytes());
    let head = |start: u64| {
        let mut place = start;
        let mut parts = atom(b"mvhd", &header);
        for (track, data) in tracks.iter().zip(&data) {
            parts.extend(track.atom(place));
            place += data.len() as u64;
        }
        parts.extend(atom(b"udta", b"\0\0\0\0"));
        atom(b"moov", &parts)
    };
    let length = head(0).len();
    let data = atom(b"mdat", &data.concat());
    match head_first {
        true => [&ftyp[..], &head((ftyp.len() + length + 8) as u64), &data].concat(),
        false => {
            [&ftyp[..], &atom(b"free", &[0; 40]), &data, &head(ftyp.len() as u64 + 56)].concat()
        }
    }
}

const LIMITS: Limits = Limits { buffer: 512 * 1024, moov: 10 * 1024 * 1024 };

fn cut_with(file: &[u8], cut: Cut, limits: Limits) -> Result<Vec<u8>, Error> {
    let mut cutter = Cutter::new(file.len() as u64, cut, limits);
    loop {
        match cutter.step()? {
            Step::Read(range) => {
                cutter.give(file[range.start as usize..range.end as usize].to_vec());
            }
            Step::Whole => return Ok(file.to_vec()),
            Step::Cut(mut head, range) => {
                head.extend_from_slice(&file[range.start as usize..range.end as usize]);
                return Ok(head);
            }
        }
    }
}

fn cut(file: &[u8], start: u64, length: u64) -> Result<Vec<u8>, Error> {
    cut_with(file, Cut { start, length, key_frame: false }, LIMITS)
}

/// The atoms of these names below each other, in order.
fn find<'a>(bytes: &'a [u8], path: &[&[u8]]) -> Vec<&'a [u8]> {
    let Some((name, rest)) = path.split_first() else { return vec![bytes] };
    let (mut found, mut at) = (Vec::new(), 0);
    while at + 8 <= bytes.len() {
        let size = number(bytes, at) as usize;
        if &bytes[at + 4..at + 8] == *name {
            found.extend(find(&bytes[at + 8..at + size], rest));
        }
        at += size;
    }
    found
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The rows of a table of a track.
fn rows(track: &[u8], name: &[u8], width: usize) -> Vec<Vec<u32>> {
    let tables = find(track, &[b"mdia", b"minf", b"stbl", name]);
    let Some(table) = tables.first() else { return Vec::new() };
    let head = if name == b"stsz" { 12 } else { 8 };
    let count = number(table, head - 4) as usize;
    assert_eq!(table.len(), head + count * width * 4, "{}", String::from_utf8_lossy(name));
    let row =
        |row: usize| (0..width).map(|at| number(table, head + (row * width + at) * 4)).collect();
    (0..count).map(row).collect()
}

/// The samples of a track of a movie, with their durations.
fn samples(file: &[u8], track: usize) -> Vec<(Vec<u8>, u32)> {
    let tracks = find(file, &[b"moov", b"trak"]);
    let sizes = rows(tracks[track], b"stsz", 1);
    let (wide, short) = (rows(tracks[track], b"co64", 2), rows(tracks[track], b"stco", 1));
    let places: Vec<u64> = wide
        .iter()
        .map(|row| u64::from(row[0]) << 32 | u64::from(row[1]))
        .chain(short.iter().map(|row| row[0].into()))
        .collect();
    let chunks = rows(tracks[track], b"stsc", 3);
    let times = rows(tracks[track], b"stts", 2);
    let times = times.iter().flat_map(|row| vec![row[1]; row[0] as usize]);
    let mut sample = 0;
    let mut found = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let row = chunks.iter().rfind(|row| row[0] as usize <= number + 1).expect("a row");
        let mut at = *place as usize;
        for _ in 0..row[1] {
            let Some(size) = sizes.get(sample) else { break };
            let end = at + size[0] as usize;
            found.push(file.get(at..end).expect("it is in the file").to_vec());
            (at, sample) = (end, sample + 1);
        }
    }
    assert_eq!(found.len(), sizes.len(), "every sample has a chunk");
    let times: Vec<u32> = times.collect();
    assert_eq!(found.len(), times.len(), "every sample has a duration");
    found.into_iter().zip(times).collect()
}

/// The samples that a cut should leave.
fn expected(made: &Made, track: usize, start: u64, length: u64) -> Vec<(Vec<u8>, u32)> {
    let ticks = |ms: u64| ms * u64::from(made.timescale) / 1000;
    let mut at = 0;
    let mut first = 0;
    while at + u64::from(made.samples[first].1) <= ticks(start) {
        at += u64::from(made.samples[first].1);
        first += 1;
    }
    let (mut end, mut time) = (first, 0);
    while end < made.samples.len() {
        time += u64::from(made.samples[end].1);
        if length > 0 && time > ticks(length) {
            break;
        }
        end += 1;
    }
    (first..end).map(|n| (made.sample(track, n), made.samples[n].1)).collect()
}

/// A sequence of numbers that looks random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit.max(1)
    }
}

fn random(numbers: &mut Numbers) -> Made {
    let count = 1 + numbers.below(60);
    let varied = numbers.below(2) == 0;
    Made {
        samples: (0..count)
            .map(|_| {
                let duration = if varied { 50 + 50 * numbers.below(3) as u32 } else { 100 };
                (1 + numbers.below(40), duration)
            })
            .collect(),
        key_frames: (1..=count as u32).step_by(1 + numbers.below(9)).collect(),
        compositions: match numbers.below(2) {
            0 => Vec::new(),
            _ => vec![(1, 3); count],
        },
        chunks: (0..1 + numbers.below(5)).map(|_| 1 + numbers.below(6)).collect(),
        timescale: [1000, 600, 15][numbers.below(3)],
        wide: numbers.below(3) == 0,
        long_headers: numbers.below(3) == 0,
    }
}

#[test]
fn a_cut_has_the_samples_of_its_time() {
    let mut checked = 0;
    for seed in 0..3000 {
        let mut numbers = Numbers(seed);
        let tracks: Vec<Made> = (0..1 + numbers.below(3)).map(|_| random(&mut numbers)).collect();
        let file = movie(&tracks, numbers.below(2) == 0);
        let start = numbers.below(4000) as u64;
        let length = if numbers.below(3) == 0 { 0 } else { 1000 + numbers.below(4000) as u64 };
        let Ok(new) = cut(&file, start, length) else { continue };
        // Tracks that end before the start are left out.
        let ticks = |track: &Made| start * u64::from(track.timescale) / 1000;
        let left = tracks.iter().enumerate().filter(|(_, track)| {
            u64::from(track.duration()) > start && u64::from(track.duration()) > ticks(track)
        });
        for (at, (number, track)) in left.enumerate() {
            let wanted = expected(track, number, start, length);
            // A cut inside of the first chunk may have no data, as in nginx.
            if wanted.len() > 8 {
                assert_eq!(samples(&new, at), wanted, "seed {seed}, track {number}");
                checked += 1;
            }
        }
    }
    assert!(checked > 1000, "{checked}");
}

#[test]
fn reads_of_any_size_give_the_same() {
    let tracks = [plain(50), Made { wide: true, ..plain(30) }];
    for head_first in [false, true] {
        let file = movie(&tracks, head_first);
        let wanted = cut(&file, 1250, 900);
        assert!(wanted.is_ok());
        let cut = Cut { start: 1250, length: 900, key_frame: false };
        for buffer in [30, 100, 1000, 4096, 1 << 20] {
            let limits = Limits { buffer, ..LIMITS };
            assert_eq!(cut_with(&file, cut, limits), wanted, "{buffer}");
        }
        let small = Limits { buffer: 100, moov: 100 };
        assert!(matches!(cut_with(&file, cut, small), Err(Error::MoovTooLarge(_))));
    }
}

#[test]
fn whole_movies_are_sent_as_they_are_if_their_head_is_first() {
    let first = movie(&[plain(20)], true);
    assert_eq!(cut(&first, 0, 0).as_ref(), Ok(&first));
    let last = movie(&[plain(20)], false);
    let new = cut(&last, 0, 0).expect("it is a movie");
    let names = (0..3).scan(0, |at, _| {
        let name = new[*at + 4..*at + 8].to_vec();
        *at += number(&new, *at) as usize;
        Some(name)
    });
    assert_eq!(names.collect::<Vec<_>>(), [b"ftyp", b"moov", b"mdat"]);
    assert_eq!(samples(&new, 0), samples(&last, 0));
}

#[test]
fn video_begins_with_a_key_frame_that_is_hidden() {
    let made = Made { key_frames: vec![1, 11, 21], compositions: vec![(30, 7)], ..plain(30) };
    let file = movie(&[made.clone(), plain(30)], true);
    let wanted = Cut { start: 1500, length: 1000, key_frame: true };
    let new = cut_with(&file, wanted, LIMITS).expect("it is a movie");
    let video = samples(&new, 0);
    assert_eq!(video.len(), 15, "five samples of 100 ms are hidden");
    assert_eq!(video[0].0, made.sample(0, 10));
    let tracks = find(&new, &[b"moov", b"trak"]);
    assert_eq!(rows(tracks[0], b"stss", 1), [[1], [11]]);
    assert_eq!(rows(tracks[0], b"ctts", 2), [[15, 7]]);
    let edits = find(tracks[0], &[b"edts", b"elst"]);
    // One entry of 64 bits: what is shown takes 1000 ticks of the movie, behind 500 of the media.
    assert_eq!(edits, [numbers(&[1 << 24, 1, 0, 1000, 0, 500, 1 << 16])]);
    // A track without key frames needs no edit list, and the old ones are gone.
    assert!(find(tracks[1], &[b"edts"]).is_empty());
    assert_eq!(samples(&new, 1).len(), 10);
    let times = find(&new, &[b"moov", b"mvhd"])[0];
    assert_eq!(number(times, 16), 1000);
    let times = find(tracks[0], &[b"mdia", b"mdhd"])[0];
    assert_eq!(number(times, 16), 1500);
}

/// Replaces the first occurrence of a name's atom by what `change` makes of it.
fn changed(file: &[u8], name: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut file = file.to_vec();
    let at = file.windows(4).position(|window| window == name).expect("it is there") - 4;
    change(&mut file[at..]);
    file
}

#[test]
fn faults_are_told() {
    let file = movie(&[Made { key_frames: vec![1, 5], ..plain(20) }], true);
    let told = |file: &[u8], start: u64| {
        let cut = Cut { start, length: 500, key_frame: true };
        cut_with(file, cut, LIMITS).map(drop).expect_err("it is broken").message("x")
    };
    let put = |at: usize, value: u32| {
        move |bytes: &mut [u8]| bytes[at..at + 4].copy_from_slice(&value.to_be_bytes())
    };
    let rename = |name: &'static [u8; 4]| move |bytes: &mut [u8]| bytes[4..8].copy_from_slice(name);
    let cases: Vec<(Vec<u8>, u64, &str)> = vec![
        (Vec::new(), 0, "no mp4 trak atoms were found in \"x\""),
        (file[..3].to_vec(), 0, "\"x\" mp4 file truncated"),
        (file[..30].to_vec(), 0, "\"x\" mp4 atom too large:"),
        (file[..file.len() - 1].to_vec(), 0, "\"x\" mp4 atom too large:"),
        (changed(&file, b"ftyp", put(0, 7)), 0, "\"x\" mp4 atom is too small:7"),
        (changed(&file, b"mdat", rename(b"free")), 0, "no mp4 mdat atom was found in \"x\""),
        (changed(&file, b"mdat", rename(b"moov")), 0, "duplicate mp4 moov atom in \"x\""),
        (changed(&file, b"mvhd", rename(b"cmov")), 0, "\"x\" mp4 compressed moov atom (cmov) is"),
        (changed(&file, b"trak", rename(b"free")), 0, "no mp4 trak atoms were found in \"x\""),
        (changed(&file, b"stts", rename(b"free")), 0, "no mp4 stts atoms were found in \"x\""),
        (changed(&file, b"stts", rename(b"stss")), 0, "duplicate mp4 stss atom in \"x\""),
        (changed(&file, b"stsc", rename(b"free")), 0, "no mp4 stsc atoms were found in \"x\""),
        (changed(&file, b"stco", rename(b"free")), 0, "end time is out mp4 stsc chunks in \"x\""),
        (changed(&file, b"stco", put(12, u32::MAX)), 0, "\"x\" mp4 stco atom too small"),
        (changed(&file, b"stco", put(16, u32::MAX)), 0, "too large chunk offset in \"x\""),
        (changed(&file, b"stsc", put(12, 0)), 0, "zero number of entries in stsc atom in \"x\""),
        (changed(&file, b"stsc", put(16, 0)), 0, "zero chunk in \"x\""),
        (changed(&file, b"stsc", put(20, 0)), 0, "zero number of samples in \"x\""),
        (changed(&file, b"stsc", put(16, 99)), 0, "unordered mp4 stsc chunks in \"x\""),
        (changed(&file, b"stsz", put(16, 2)), 900, "start time is out mp4 stsz samples in \"x\""),
        (changed(&file, b"stsz", put(16, 2)), 100, "end time is out mp4 stsz samples in \"x\""),
        (changed(&file, b"stss", put(16, 0)), 0, "zero sync sample in \"x\""),
        (changed(&file, b"stts", put(16, 1)), 900, "start time is out mp4 stts samples in \"x\""),
        (file.clone(), 2001, "\"x\" mp4 start time exceeds file duration"),
        (file.clone(), 2000, "no mp4 trak atoms were found in \"x\""),
    ];
    for (at, (file, start, message)) in cases.into_iter().enumerate() {
        let found = told(&file, start);
        assert!(found.starts_with(message), "{at}: {found}");
    }
}

#[test]
fn broken_movies_are_bounded() {
    let mut numbers = Numbers(1);
    for seed in 0..4000 {
        if seed % 500 == 0 {
            numbers = Numbers(seed);
        }
        let tracks = [random(&mut numbers), random(&mut numbers)];
        let mut file = movie(&tracks, numbers.below(2) == 0);
        for _ in 0..numbers.below(6) {
            let at = numbers.below(file.len());
            file[at] = [0, 1, 255, numbers.below(256) as u8][numbers.below(4)];
        }
        if numbers.below(5) == 0 {
            file.truncate(numbers.below(file.len()));
        }
        let mut words: Vec<u8> = (0..12).map(|_| numbers.below(256) as u8).collect();
        words[10] = 0;
        fuzz_cut(&[&words[..], &file].concat());
    }
}
