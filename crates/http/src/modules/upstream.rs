//! What all passes to upstreams tell about themselves
//! (<https://nginx.org/en/docs/http/ngx_http_upstream_module.html>).

use crate::module::Module;
use crate::pass::variables::ROWS;

pub(crate) const MODULE: Module = Module { name: "upstream", variables: ROWS, ..Module::NONE };
