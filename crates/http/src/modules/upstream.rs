//! Variables of requests to upstreams
//! (<https://nginx.org/en/docs/http/ngx_http_upstream_module.html>).

use crate::module::Module;
use crate::pass::variables::ROWS;

pub(crate) const MODULE: Module = Module { name: "upstream", variables: ROWS, ..Module::NONE };
