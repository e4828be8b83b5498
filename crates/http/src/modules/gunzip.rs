//! `gunzip`: decompression for clients without gzip
//! (<https://nginx.org/en/docs/http/ngx_http_gunzip_module.html>).

use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use weir_conf::value::Bufs;
use weir_conf::{Settings, Slot, directives};
use weir_engine::buffer::{self, Buf};
use weir_engine::error_log::Level;
use weir_wire::header::Known;

use crate::filter::BodyFilter;
use crate::module::Module;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "gunzip",
    tables: &[&Gunzip::table(&GUNZIP)],
    header_filter: Some((|settings: &Settings| settings.get(&GUNZIP).enable, filter)),
    ..Module::NONE
};

static GUNZIP: Slot<Gunzip> = Slot::new();

/// The largest window of the format, which decodes smaller ones too.
const WINDOW: u8 = 15;

directives! {
    /// Decompression of gzipped responses.
    pub(crate) struct Gunzip in [http, server, location] {
        /// Decompresses gzipped responses for clients that do not accept gzip.
        "gunzip" => enable: bool = false,
        /// The number and size of the output buffers. Only the size is used.
        "gunzip_buffers" => buffers: Bufs = Bufs::new(32, 4096),
    }
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let encoding = request.response.headers.get(Known::ContentEncoding);
    if !encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case(b"gzip")) {
        return Ok(());
    }
    request.varies_by_encoding();
    if request.takes_gzip() {
        return Ok(());
    }
    let buffer_size = request.get(&GUNZIP).buffers.size as usize;
    let response = &mut request.response;
    response.headers.remove(Known::ContentEncoding);
    response.clear_length();
    response.clear_ranges();
    response.weaken_etag();
    let stream = Decompress::new_gzip(WINDOW);
    let out = Buf::empty();
    request.chain.add(Box::new(Decompressor { stream, ended: false, buffer_size, out }));
    Ok(())
}

/// Decompresses a body of one or more concatenated gzip streams.
struct Decompressor {
    stream: Decompress,
    /// Whether the current stream has ended; another may follow.
    ended: bool,
    buffer_size: usize,
    out: Buf,
}

impl BodyFilter for Decompressor {
    fn push(
        &mut self,
        request: &mut Request,
        piece: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        let mut rest = Some(piece);
        while let Some(piece) = rest {
            let (memory, more) = piece.load()?;
            self.inflate(request, memory.bytes().unwrap_or_default(), out)?;
            rest = more;
        }
        Ok(())
    }

    fn flush(&mut self, _: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.give(out);
        Ok(())
    }

    fn finish(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        if !self.ended {
            request.log(Level::Error, "inflate() returned -5 on response end");
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.give(out);
        Ok(())
    }
}

impl Decompressor {
    fn inflate(
        &mut self,
        request: &Request,
        mut input: &[u8],
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        loop {
            if self.ended {
                if input.is_empty() {
                    return Ok(());
                }
                self.stream = Decompress::new_gzip(WINDOW);
                self.ended = false;
            }
            if self.out.room() == 0 {
                let full = std::mem::replace(&mut self.out, buffer::take(self.buffer_size));
                out.push(Piece::from(full));
            }
            let before = self.stream.total_in();
            let result = self.stream.decompress_vec(input, &mut self.out, FlushDecompress::None);
            let status = result.map_err(|error| {
                request.log(Level::Error, "inflate() failed: -3, 0");
                io::Error::other(error)
            })?;
            input = &input[(self.stream.total_in() - before) as usize..];
            self.ended = status == Status::StreamEnd;
            if !self.ended && input.is_empty() && self.out.room() > 0 {
                return Ok(());
            }
        }
    }

    fn give(&mut self, out: &mut Vec<Piece>) {
        if !self.out.is_empty() {
            out.push(Piece::from(std::mem::take(&mut self.out)));
        }
    }
}
