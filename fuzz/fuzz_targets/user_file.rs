//! A user file of `auth_basic`, for a client's user name and password.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    weir_http::fuzz::user_file(data);
});
