//! `status_zone`: request counters by zone
//! (<https://nginx.org/en/docs/http/ngx_http_api_module.html#status_zone>). Its directive is in
//! [`crate::core::status_zone`], because requests are counted without a phase: that is cheaper.

use crate::core::status_zone::{STATUS_ZONE, StatusZone};
use crate::module::Module;

pub(crate) const MODULE: Module =
    Module { name: "status_zone", tables: &[&StatusZone::table(&STATUS_ZONE)], ..Module::NONE };
