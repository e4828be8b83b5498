//! Bodies of gRPC-Web and of gRPC, and media types.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire::grpc_web::fuzz::fuzz(data));
