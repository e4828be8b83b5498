//! The point where responses of subrequests join the response that includes them. The filters after
//! this module see the whole, those before it only the request's own output (nginx:
//! `ngx_http_postpone_filter_module`).

use crate::module::Module;
use crate::rejection::Rejection;
use crate::request::Request;

pub(crate) const MODULE: Module =
    Module { name: "postpone", header_filter: Some((|_| true, filter)), ..Module::NONE };

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let ends = request.is_subrequest();
    request.chain.split(ends);
    Ok(())
}
