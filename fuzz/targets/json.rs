//! Any text: read as JSON or refused at a character; what serde_json accepts is refused only for a reason of ours;
//! every byte of a text is placed; what is written reads back.

#![no_main]

use adapters::FaultCode;
use adapters::tree::{NodeId, json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let tree = match json::parse(text) {
        Ok(tree) => tree,
        Err(fault) => {
            assert!(text.is_char_boundary(fault.at));
            match fault.code {
                FaultCode::JsonSyntax => {
                    assert!(serde_json::from_str::<serde_json::Value>(text).is_err());
                }
                FaultCode::KeyDuplicate => assert!(!fault.place.is_empty()),
                code => assert!(matches!(code, FaultCode::TooDeep | FaultCode::TooMany)),
            }
            return;
        }
    };
    for (index, node) in tree.nodes.iter().enumerate() {
        let id = NodeId(index.try_into().unwrap());
        for (offset, character) in node.text.char_indices().take(64) {
            let there = &text[tree.source_offset(id, offset)..];
            assert!(there.starts_with(character) || there.starts_with('\\'));
        }
        let mut again = String::new();
        json::quote(&node.text, &mut again);
        assert_eq!(json::parse(&again).unwrap().nodes[0].text, node.text);
        assert_eq!(serde_json::from_str::<String>(&again).unwrap(), node.text);
    }
});
