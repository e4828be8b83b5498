//! A request through phases, a response through filters.

#![forbid(unsafe_code)]

pub mod core;
pub mod pending;
pub mod route;

pub mod module {
    //! What a module may add to the server.

    /// What runs in one location.
    #[derive(Default)]
    pub struct Handlers;
}
