//! Writing the head of the new file: all up to the samples.

use std::ops::Range;

use super::chunks::{put_row, shift};
use super::movie::Movie;
use super::track::{Sizes, Table, Track};

/// The head of a file that goes on with the samples in `span`.
pub(super) fn head(ftyp: Option<&[u8]>, movie: &Movie, span: &Range<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(ftyp) = ftyp {
        atom(&mut out, b"ftyp", |out| out.extend_from_slice(ftyp));
    }
    let mut places = Vec::new();
    atom(&mut out, b"moov", |out| {
        if let Some(header) = &movie.header {
            copy(out, b"mvhd", &movie.bytes, header);
        }
        for track in &movie.tracks {
            atom(out, b"trak", |out| places.push(put_track(out, &movie.bytes, track)));
        }
    });
    put_data_header(&mut out, span.end - span.start);
    let by = (out.len() as u64).wrapping_sub(span.start);
    for (rows, wide) in places {
        shift(&mut out, rows, wide, by);
    }
    out.shrink_to_fit();
    out
}

/// The header of `mdat`, for so many bytes.
fn put_data_header(out: &mut Vec<u8>, length: u64) {
    match u32::try_from(length + 8) {
        Ok(size) => {
            out.extend_from_slice(&size.to_be_bytes());
            out.extend_from_slice(b"mdat");
        }
        Err(_) => {
            out.extend_from_slice(b"\0\0\0\x01mdat");
            out.extend_from_slice(&(length + 16).to_be_bytes());
        }
    }
}

/// Writes a track. Returns the places of its chunks in `out`, and whether they have 64 bits.
fn put_track(out: &mut Vec<u8>, bytes: &[u8], track: &Track) -> (Range<usize>, bool) {
    if let Some(header) = &track.header {
        copy(out, b"tkhd", bytes, header);
    }
    if track.hidden > 0 {
        put_edit_list(out, track);
    }
    let mut offsets = 0..0;
    atom(out, b"mdia", |out| {
        if let Some((header, _)) = &track.media_header {
            copy(out, b"mdhd", bytes, header);
        }
        if let Some(handler) = &track.handler {
            copy(out, b"hdlr", bytes, handler);
        }
        atom(out, b"minf", |out| {
            let parts =
                [(b"vmhd", &track.video), (b"smhd", &track.sound), (b"dinf", &track.data_info)];
            for (name, part) in parts {
                if let Some(part) = part {
                    copy(out, name, bytes, part);
                }
            }
            atom(out, b"stbl", |out| offsets = put_tables(out, bytes, track));
        });
    });
    (offsets, track.wide)
}

/// An edit list of one entry, which hides what comes before the start (ISO/IEC 14496-12 section
/// 8.6.6).
fn put_edit_list(out: &mut Vec<u8>, track: &Track) {
    atom(out, b"edts", |out| {
        atom(out, b"elst", |out| {
            out.extend_from_slice(&[1, 0, 0, 0]);
            out.extend_from_slice(&1_u32.to_be_bytes());
            out.extend_from_slice(&track.movie_duration.to_be_bytes());
            out.extend_from_slice(&track.hidden.to_be_bytes());
            // At the usual rate, a number with 16 bits behind the point.
            out.extend_from_slice(&[0, 1, 0, 0]);
        });
    });
}

/// Writes the tables of samples. Returns the places of the chunks in `out`.
fn put_tables(out: &mut Vec<u8>, bytes: &[u8], track: &Track) -> Range<usize> {
    if let Some(description) = &track.description {
        copy(out, b"stsd", bytes, description);
    }
    let tables = [
        (b"stts", &track.times, 8),
        (b"stss", &track.key_frames, 4),
        (b"ctts", &track.compositions, 8),
    ];
    for (name, table, width) in tables {
        if let Some(table) = table {
            put_table(out, name, bytes, table, width);
        }
    }
    if let Some(chunks) = &track.chunks {
        put_chunks(out, bytes, track, chunks);
    }
    match &track.sizes {
        Some(Sizes::Equal(atom)) => copy(out, b"stsz", bytes, atom),
        Some(Sizes::Each(table)) => atom(out, b"stsz", |out| {
            out.extend_from_slice(&bytes[table.flags..table.flags + 4]);
            // No common size.
            out.extend_from_slice(&[0; 4]);
            put_rows(out, bytes, &table.rows, 4);
        }),
        None => {}
    }
    match &track.offsets {
        Some(table) if track.wide => put_table(out, b"co64", bytes, table, 8),
        Some(table) => put_table(out, b"stco", bytes, table, 4),
        None => {}
    }
    out.len() - track.offsets.as_ref().map_or(0, |table| table.rows.len())..out.len()
}

fn put_chunks(out: &mut Vec<u8>, bytes: &[u8], track: &Track, table: &Table) {
    let more = [track.first_chunk, track.last_chunk].into_iter().flatten().count();
    atom(out, b"stsc", |out| {
        out.extend_from_slice(&bytes[table.flags..table.flags + 4]);
        let count = table.rows.len() / 12 + more;
        out.extend_from_slice(&(count as u32).to_be_bytes());
        track.first_chunk.into_iter().for_each(|row| put_row(row, out));
        out.extend_from_slice(&bytes[table.rows.clone()]);
        track.last_chunk.into_iter().for_each(|row| put_row(row, out));
    });
}

/// Writes an atom; `fill` writes its body.
fn atom(out: &mut Vec<u8>, name: &[u8; 4], fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(name);
    fill(out);
    let size = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// Writes an atom with a body from `moov`.
fn copy(out: &mut Vec<u8>, name: &[u8; 4], bytes: &[u8], body: &Range<usize>) {
    atom(out, name, |out| out.extend_from_slice(&bytes[body.clone()]));
}

/// Writes a table with rows of `width` bytes.
fn put_table(out: &mut Vec<u8>, name: &[u8; 4], bytes: &[u8], table: &Table, width: usize) {
    atom(out, name, |out| {
        out.extend_from_slice(&bytes[table.flags..table.flags + 4]);
        put_rows(out, bytes, &table.rows, width);
    });
}

/// Writes the number of rows, and the rows.
fn put_rows(out: &mut Vec<u8>, bytes: &[u8], rows: &Range<usize>, width: usize) {
    let count = rows.len() / width;
    out.extend_from_slice(&(count as u32).to_be_bytes());
    out.extend_from_slice(&bytes[rows.clone()]);
}
