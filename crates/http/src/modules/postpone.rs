//! Where the responses of subrequests join that of the request which includes them: the filters
//! listed behind this module see the whole, those before it only what the request produces
//! (nginx: `ngx_http_postpone_filter_module`).

use crate::module::Module;
use crate::request::Request;

pub(crate) const MODULE: Module =
    Module { name: "postpone", header_filter: Some((|_| true, filter)), ..Module::NONE };

fn filter(request: &mut Request) -> Result<(), u16> {
    let ends = request.is_subrequest();
    request.response.chain.split(ends);
    Ok(())
}
