//! `try_files`: the first file that exists, or a fallback.
//! <https://nginx.org/en/docs/http/ngx_http_core_module.html#try_files>

use weir_conf::value::parse_number;
use weir_conf::{Arity, Cx, Fault, Local, Node, Slot, Span, Value, directives};
use weir_script::{Template, Variables};

/// The files that are tried before the location's content.
pub(crate) static TRY_FILES: Slot<TryFiles> = Slot::new();

/// The maximum status of `=code`.
const MAX_CODE: u64 = 999;

directives! {
    /// The files that are tried before the location's content.
    pub struct TryFiles in [server, location] {
        /// Serves the first file that exists; otherwise a URI, a named location or a status.
        "try_files" => candidates: Local<Option<Candidates>>,
    }
}

/// The files of a `try_files` and its fallback.
#[derive(Clone, Debug)]
pub(crate) struct Candidates {
    /// The candidates, in order.
    pub files: Vec<Candidate>,
    /// The fallback.
    pub fallback: Fallback,
    /// The place of the directive.
    pub span: Span,
}

/// A candidate.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The URI, which is appended to the root or replaces the location's name.
    pub name: Template,
    /// Whether a folder is looked for: the argument ends in a slash, which the name lacks.
    pub directory: bool,
}

/// The fallback of a `try_files`.
#[derive(Clone, Debug)]
pub(crate) enum Fallback {
    /// A response with this status.
    Code(u16),
    /// An internal redirect, to a named location if it starts with `@`.
    Uri(Template),
}

impl Value for Candidates {
    const SYNTAX: &'static str = "file ... uri | =code";
    const ARITY: Arity = Arity::at_least(2);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let (last, files) = node.args.split_last().ok_or_else(Fault::bad_value)?;
        let variables = cx.registry::<Variables>();
        let files = files
            .iter()
            .map(|word| {
                let bare = word.value.strip_suffix(b"/");
                let name = Template::compile(bare.unwrap_or(&word.value), variables)?;
                Ok(Candidate { name, directory: bare.is_some() })
            })
            .collect::<Result<_, Fault>>()?;
        let uri = Template::compile(&last.value, variables)?;
        let fallback = match last.value.strip_prefix(b"=") {
            Some(code) => {
                let code = parse_number(code).filter(|code| *code <= MAX_CODE);
                let wrong = || Fault::new(format!("invalid code \"{}\"", last.text())).at(last);
                Fallback::Code(code.ok_or_else(wrong)? as u16)
            }
            None => Fallback::Uri(uri),
        };
        Ok(Self { files, fallback, span: cx.span() })
    }
}
