//! The argument `fields`, which trims answers.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// The depth at which dots in a field are no further levels: deeper than any answer.
const DEEPEST: usize = 8;

/// The shape of an endpoint's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object.
    Object,
    /// Objects by name.
    Map,
    /// A list.
    List,
}

/// Keeps only some fields of an object, or of each object of a map or list. Of a map without any
/// field, the names are left.
pub(super) fn trim(value: Value, fields: &str, shape: Shape) -> Value {
    let wanted = Fields::of(fields);
    match (value, shape) {
        (Value::Object(map), Shape::Map) if fields.is_empty() => {
            map.into_iter().map(|(name, _)| Value::String(name)).collect()
        }
        (Value::Object(map), Shape::Map) => {
            let trim = |(name, value)| (name, wanted.keep(value));
            Value::Object(map.into_iter().map(trim).collect())
        }
        (value, _) => wanted.keep(value),
    }
}

/// Fields by name, with their places among the wanted ones. However many there are, an object costs
/// what its own size does.
#[derive(Default)]
struct Fields<'a> {
    whole: HashMap<&'a str, usize>,
    /// Those of which only parts are wanted: `peers.id`.
    parts: HashMap<&'a str, (usize, Self)>,
}

impl<'a> Fields<'a> {
    fn of(fields: &'a str) -> Self {
        let mut all = Self::default();
        for (place, field) in fields.split(',').enumerate() {
            all.add(field, place, 0);
        }
        all
    }

    fn add(&mut self, field: &'a str, place: usize, depth: usize) {
        // A name may have dots itself.
        self.whole.entry(field).or_insert(place);
        if let Some((name, rest)) = field.split_once('.').filter(|_| depth < DEEPEST) {
            let (_, parts) = self.parts.entry(name).or_insert_with(|| (place, Self::default()));
            parts.add(rest, place, depth + 1);
        }
    }

    /// The wanted fields of an object, or of each object of a list, in the wanted order.
    fn keep(&self, value: Value) -> Value {
        match value {
            Value::Object(object) => {
                let mut kept: Vec<_> = object.into_iter().filter_map(|it| self.field(it)).collect();
                kept.sort_by_key(|(place, ..)| *place);
                let kept = kept.into_iter().map(|(_, name, value)| (name, value));
                Value::Object(kept.collect::<Map<_, _>>())
            }
            Value::Array(list) => list.into_iter().map(|value| self.keep(value)).collect(),
            other => other,
        }
    }

    fn field(&self, (name, value): (String, Value)) -> Option<(usize, String, Value)> {
        if let Some(&place) = self.whole.get(&*name) {
            return Some((place, name, value));
        }
        let (place, parts) = self.parts.get(&*name)?;
        // Only objects and lists have parts.
        let has_parts = value.is_object() || value.is_array();
        has_parts.then(|| (*place, name, parts.keep(value)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wanted_fields_are_left_in_the_wanted_order() {
        let object = json!({"a": 1, "b": {"c": 2}, "d": 3});
        let trimmed = trim(object.clone(), "d,b,x,d", Shape::Object);
        assert_eq!(trimmed.to_string(), r#"{"d":3,"b":{"c":2}}"#);
        assert_eq!(trim(object, "", Shape::Object), json!({}));
        let map = json!({"one": {"a": 1, "b": 2}, "two": {"b": 3}});
        assert_eq!(trim(map.clone(), "b", Shape::Map), json!({"one": {"b": 2}, "two": {"b": 3}}));
        assert_eq!(trim(map, "", Shape::Map), json!(["one", "two"]));
        assert_eq!(trim(json!([{"a": 1, "b": 2}]), "a", Shape::List), json!([{"a": 1}]));
        assert_eq!(trim(json!(["a", "b"]), "a", Shape::List), json!(["a", "b"]));
    }

    #[test]
    fn dots_lead_into_objects_and_lists() {
        let object = json!({"z": 0, "list": [{"a": 1, "b": 2}, {"b": 3}], "in": {"a": 4, "b": 5}});
        let trimmed = trim(object.clone(), "in.b,list.a,z", Shape::Object);
        assert_eq!(trimmed.to_string(), r#"{"in":{"b":5},"list":[{"a":1},{}],"z":0}"#);
        assert_eq!(trim(object.clone(), "list.a,list", Shape::Object)["list"], object["list"]);
        // A name with dots, as that of a key, comes before what it could mean.
        let dotted = json!({"10.0.0.1": "x", "10": {"0": 1}});
        assert_eq!(trim(dotted, "10.0.0.1", Shape::Object), json!({"10.0.0.1": "x", "10": {}}));
        // Depth has a limit, as each level is a call.
        let deep = ["a"; 10_000].join(".");
        assert_eq!(trim(json!({"a": {"a": 1}}), &deep, Shape::Object), json!({"a": {}}));
    }
}
