//! The directives of nginx's `ngx_http_core_module`, by theme.
//! <https://nginx.org/en/docs/http/ngx_http_core_module.html>

pub(crate) mod access;
pub(crate) mod blocks;
pub(crate) mod connection;
pub(crate) mod errors;
pub(crate) mod files;
pub(crate) mod gzip;
pub(crate) mod limits;
pub(crate) mod listen;
pub(crate) mod location;
pub(crate) mod media_types;
pub(crate) mod open_files;
pub(crate) mod redirect;
pub(crate) mod resolver;
pub(crate) mod root;
pub(crate) mod server_name;
pub(crate) mod status_zone;
pub(crate) mod temp_path;
pub(crate) mod try_files;
pub(crate) mod types;
pub(crate) mod value;

use weir_conf::Table;

pub(crate) use access::{ACCESS, Satisfy};
pub(crate) use blocks::LOCATION;
pub(crate) use connection::{CONNECTION, Lingering};
pub(crate) use errors::{ERRORS, ErrorPage, ErrorTarget};
pub(crate) use files::FILES;
pub(crate) use gzip::GZIP;
pub(crate) use limits::LIMITS;
pub(crate) use listen::LISTEN;
pub(crate) use media_types::MediaTypes;
pub(crate) use open_files::OPEN_FILES;
pub(crate) use redirect::{REDIRECT, ServerTokens};
pub(crate) use resolver::RESOLVER;
pub(crate) use root::ROOT;
pub(crate) use server_name::SERVER_NAMES;
pub(crate) use try_files::TRY_FILES;
pub(crate) use types::TYPES;

/// The tables of the core. The blocks come first, because the other tables read the kind of their
/// location.
pub const TABLES: &[&Table] = &[
    &blocks::Blocks::table(&LOCATION),
    &listen::Listens::table(&LISTEN),
    &server_name::Names::table(&SERVER_NAMES),
    &limits::Limits::table(&LIMITS),
    &connection::Connection::table(&CONNECTION),
    &access::Access::table(&ACCESS),
    &root::RootDir::table(&ROOT),
    &try_files::TryFiles::table(&TRY_FILES),
    &types::MimeTypes::table(&TYPES),
    &files::Files::table(&FILES),
    &open_files::OpenFiles::table(&OPEN_FILES),
    &gzip::GzipClients::table(&GZIP),
    &errors::Errors::table(&ERRORS),
    &redirect::Redirect::table(&REDIRECT),
    &resolver::Resolving::table(&RESOLVER),
];
