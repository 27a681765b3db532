//! Whatever a provider writes, reading it never panics, and what we write we can read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use freehold_model::{Attrs, Value};
use freehold_protocol::v1::{Id, Message, parse_message};
use freehold_protocol::{WireAttrs, v0};
use proptest::prelude::*;

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(Value::Unknown),
        "[$]{0,3}freehold".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 32, 4, |inner| {
        let name = prop_oneof![".{0,6}", "[$]{0,3}freehold", "[/~a]{1,3}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::btree_map(name, inner.clone(), 0..4).prop_map(Value::Map),
            inner.prop_filter("an unknown is no secret", Value::is_known).prop_map(Value::into_sensitive),
        ]
    })
}

/// A secret inside a secret is the same secret: only the outer mark travels.
fn flat(value: Value, inside: bool) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(|v| flat(v, inside)).collect()),
        Value::Map(attrs) => Value::Map(attrs.into_iter().map(|(name, v)| (name, flat(v, inside))).collect()),
        Value::Sensitive(inner) if inside => flat(*inner.into_exposed(), true),
        Value::Sensitive(inner) => flat(*inner.into_exposed(), true).into_sensitive(),
        other => other,
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_message(&bytes);
        let _ = v0::parse_response(&bytes);
    }

    #[test]
    fn nearly_a_message_is_read_without_a_panic(
        id in "1|null|\"x\"|-1|1e400|\\{\\}", method in "\"plan\"|null|1", rest in "(,\"result\":1|,\"error\":\\{\\}|,\"params\":\\[|)"
    ) {
        let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{method}{rest}}}");
        let _ = parse_message(text.as_bytes());
    }

    #[test]
    fn values_survive_the_wire_with_their_secrets(attrs in proptest::collection::btree_map(".{0,6}", value(), 0..5)) {
        let attrs: Attrs = attrs.into_iter().map(|(name, v)| (name, flat(v, false))).collect();
        let params = serde_json::to_value(WireAttrs::from_attrs(&attrs)).unwrap();
        let line = Message::Request { id: Id::Number(1), method: "x".into(), params }.to_line();
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let Ok(Message::Request { params, .. }) = parse_message(&line) else { panic!("not a request") };
        let back: WireAttrs = serde_json::from_value(params).unwrap();
        prop_assert_eq!(back.into_attrs().unwrap(), attrs);
    }
}
