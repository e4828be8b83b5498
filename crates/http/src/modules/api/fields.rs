//! The argument `fields`, which trims answers.

use serde_json::{Map, Value};

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
    match (value, shape) {
        (Value::Object(map), Shape::Map) if fields.is_empty() => {
            map.into_iter().map(|(name, _)| Value::String(name)).collect()
        }
        (Value::Object(map), Shape::Map) => {
            let trim = |(name, value)| (name, keep(value, fields));
            Value::Object(map.into_iter().map(trim).collect())
        }
        (Value::Array(list), _) => list.into_iter().map(|value| keep(value, fields)).collect(),
        (value, _) => keep(value, fields),
    }
}

fn keep(value: Value, fields: &str) -> Value {
    match value {
        Value::Object(mut object) => {
            let fields = fields.split(',');
            let kept = fields.filter_map(|field| object.remove_entry(field));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wanted_fields_are_left_in_the_wanted_order() {
        let object = json!({"a": 1, "b": {"c": 2}, "d": 3});
        assert_eq!(trim(object.clone(), "d,b,x,d", Shape::Object), json!({"d": 3, "b": {"c": 2}}));
        assert_eq!(trim(object, "", Shape::Object), json!({}));
        let map = json!({"one": {"a": 1, "b": 2}, "two": {"b": 3}});
        assert_eq!(trim(map.clone(), "b", Shape::Map), json!({"one": {"b": 2}, "two": {"b": 3}}));
        assert_eq!(trim(map, "", Shape::Map), json!(["one", "two"]));
        assert_eq!(trim(json!([{"a": 1, "b": 2}]), "a", Shape::List), json!([{"a": 1}]));
        assert_eq!(trim(json!(["a", "b"]), "a", Shape::List), json!(["a", "b"]));
    }
}
