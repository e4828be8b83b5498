//! The head of a CGI response, as FastCGI, SCGI and uwsgi applications send it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::cgi::fuzz::fuzz_head(data));
