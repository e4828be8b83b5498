//! Records of single requests. The core notes and keeps them (`recorder`), and `api` shows them.

use crate::module::Module;
use crate::recorder::settings;

pub(crate) const MODULE: Module =
    Module { name: "request_records", tables: &[settings::TABLE], ..Module::NONE };
