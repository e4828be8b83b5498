//! The directives of nginx's `ngx_http_core_module`, by theme.
//! <https://nginx.org/en/docs/http/ngx_http_core_module.html>

pub mod access;
pub mod blocks;
pub mod connection;
pub mod errors;
pub mod files;
pub mod gzip;
pub mod limits;
pub mod listen;
pub mod location;
pub mod media_types;
pub mod open_files;
pub mod redirect;
pub mod resolver;
pub mod root;
pub mod server_name;
pub mod temp_path;
pub mod try_files;
pub mod types;
pub mod value;

use weir_conf::Table;

pub use access::{ACCESS, Satisfy};
pub use blocks::LOCATION;
pub use connection::{CONNECTION, Lingering};
pub use errors::{ERRORS, ErrorPage, ErrorTarget};
pub use files::FILES;
pub use gzip::GZIP;
pub use limits::LIMITS;
pub use listen::LISTEN;
pub use media_types::MediaTypes;
pub use open_files::OPEN_FILES;
pub use redirect::{REDIRECT, ServerTokens};
pub use resolver::RESOLVER;
pub use root::ROOT;
pub use server_name::SERVER_NAMES;
pub use try_files::TRY_FILES;
pub use types::TYPES;

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
