//! `keyval_zone` and `keyval` (<https://nginx.org/en/docs/http/ngx_http_keyval_module.html>).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};

use weir_conf::value::parse_msec;
use weir_conf::{Cx, Fault, Inherit, Node, Slot, Word, directives};
use weir_edge::zone::name_and_size;
use weir_engine::clock;
use weir_engine::os_error::Failed;
use weir_script::{Template, Variables};
use weir_upstream::Zones;

use crate::keyval::table::{Entry, Kind};
use crate::keyval::{Keyval, USAGE, ZoneConfig, state};
use crate::module::{Module, Prepare};
use crate::request::Request;
use crate::variables::definitions::Definitions;

pub(crate) const MODULE: Module = Module {
    name: "keyval",
    tables: &[&KeyvalTable::table(&KEYVAL)],
    prepare: Some(prepare),
    ..Module::NONE
};

static KEYVAL: Slot<KeyvalTable> = Slot::new();

directives! {
    /// Variables from key-value pairs that change at run time.
    pub(crate) struct KeyvalTable as KeyvalTableWritten in [http] {
        /// Defines a zone of pairs: its size, the file that keeps them, the time until they expire,
        /// and how keys match (equal strings, networks of addresses, or prefixes). The file is
        /// written by the worker's user, who needs write access to its folder.
        "keyval_zone" [1+]: "zone=name:size [state=file] [timeout=time] [type=string | ip | prefix]"
            => define_zone,
        /// Defines a variable whose value is looked up by the key in a zone.
        "keyval" [3]: "key $variable zone=name" => define_variable,
        field zones: Inherit<Vec<Arc<Defined>>>,
    }
}

/// A zone of an assembly. The directive that uses it may precede the one that defines it.
#[derive(Debug, Default)]
struct Defined {
    definition: OnceLock<Definition>,
    zone: OnceLock<Arc<Keyval>>,
}

#[derive(Debug)]
struct Definition {
    config: ZoneConfig,
    /// The pairs of its file.
    pairs: Vec<(String, Entry)>,
}

/// The zones of one assembly, by name.
#[derive(Default)]
struct Named(BTreeMap<Vec<u8>, Arc<Defined>>);

fn define_zone(own: &mut KeyvalTableWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let mut named = None;
    let (mut file, mut timeout, mut kind) = (None, None, Kind::String);
    for word in &node.args {
        if let Some(value) = word.after("zone=") {
            named = Some(name_and_size(word, value)?);
        } else if let Some(value) = word.after("state=") {
            let path = String::from_utf8_lossy(value);
            file = Some(cx.prefix_path(&path));
        } else if let Some(value) = word.after("timeout=") {
            timeout = Some(parse_timeout(value, word)?);
        } else if let Some(value) = word.after("type=") {
            kind = Kind::from_keyword(value).ok_or_else(|| Fault::parameter(word))?;
        } else if word.is("sync") {
            let message = "parameter \"sync\" is not supported: the nodes of an \"ha\" block have \
                           the pairs of all zones in common without it";
            return Err(Fault::new(message).at(word));
        } else {
            return Err(Fault::parameter(word));
        }
    }
    let missing = || "\"keyval_zone\" must have \"zone\" parameter".to_owned();
    let (name, size) = named.filter(|(name, _)| !name.is_empty()).ok_or_else(missing)?;
    Zones::declare(cx, name, size, USAGE)?;
    let text = String::from_utf8_lossy(name).into_owned();
    let config = ZoneConfig { name: text, size, kind, timeout, state: file };
    let pairs = read_state(&config, cx)?;
    let zone = Arc::clone(cx.registry::<Named>().0.entry(name.to_vec()).or_default());
    let name = config.name.clone();
    if zone.definition.set(Definition { config, pairs }).is_err() {
        return Err(Fault::new(format!("duplicate keyval zone \"{name}\"")));
    }
    own.zones.get_or_insert_default().push(zone);
    Ok(())
}

fn parse_timeout(value: &[u8], word: &Word) -> Result<u64, Fault> {
    let millis = parse_msec(value).and_then(|time| u64::try_from(time.as_millis()).ok());
    millis
        .filter(|&millis| millis > 0)
        .ok_or_else(|| Fault::new(format!("invalid timeout value \"{}\"", word.shown())).at(word))
}

fn read_state(config: &ZoneConfig, cx: &Cx<'_>) -> Result<Vec<(String, Entry)>, Fault> {
    let Some(path) = &config.state else { return Ok(Vec::new()) };
    match cx.env().read_state(path) {
        Ok(text) => state::read(&text, clock::msec())
            .map_err(|fault| Fault::new(format!("{fault} in state file \"{}\"", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => {
            let call = format!("open() \"{}\" failed", path.display());
            Err(Fault::new(Failed(&call, &error).to_string()))
        }
    }
}

fn define_variable(_: &mut KeyvalTableWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let key = Template::compile(&node.args[0].value, cx.registry::<Variables>())?;
    let variables = cx.registry::<Variables>();
    let id = variables.define_word(&node.args[1].value)?;
    let variable = variables.name(id).to_owned();
    let word = &node.args[2];
    let name = word.after("zone=").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Fault::parameter(word))?;
    Zones::declare(cx, name, 0, USAGE)?;
    let zone = Arc::clone(cx.registry::<Named>().0.entry(name.to_vec()).or_default());
    let compute = Arc::new(move |request: &mut Request, out: &mut Vec<u8>| {
        let mut text = Vec::new();
        let key = request.eval_into(&key, &mut text);
        zone.zone.get().is_some_and(|zone| zone.find(key, out))
    });
    cx.registry::<Definitions>().compute(&variable, true, compute)
}

/// Gives the zones their pairs.
#[expect(clippy::unnecessary_wraps, reason = "the shape of all preparations")]
fn prepare(whole: &mut Prepare<'_>) -> Result<(), Fault> {
    let Some(named) = whole.registries.get::<Named>() else { return Ok(()) };
    for defined in named.0.values() {
        if let Some(Definition { config, pairs }) = defined.definition.get() {
            let _ = defined.zone.set(Keyval::of(config, pairs, clock::msec()));
        }
    }
    Ok(())
}
