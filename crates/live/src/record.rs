//! Fields of the JSON objects that lines of a collection are.

use serde_json::Value;

/// A text field; empty where there is none.
pub(crate) fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Sets a field of an object; of anything else there is nothing to set.
pub(crate) fn set(record: &mut Value, name: &str, value: Value) {
    if let Some(fields) = record.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}
