//! Any text: read as XML or refused at a character; every byte of a text is placed; what is written reads back.

#![no_main]

use adapters::FaultCode;
use adapters::tree::{NodeId, xml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let tree = match xml::parse(text) {
        Ok(tree) => tree,
        Err(fault) => {
            assert!(text.is_char_boundary(fault.at));
            assert!(matches!(
                fault.code,
                FaultCode::XmlSyntax | FaultCode::DoctypeRefused | FaultCode::TooDeep | FaultCode::TooMany
            ));
            return;
        }
    };
    let mut again = String::from("<a b=\"");
    for (index, node) in tree.nodes.iter().enumerate() {
        let id = NodeId(index.try_into().unwrap());
        let mut before = 0;
        for (offset, character) in node.text.char_indices().take(64) {
            let at = tree.source_offset(id, offset);
            let there = &text[at..];
            assert!(there.starts_with(character) || there.starts_with(['&', '\r', '\n', '\t']));
            assert!(at >= before);
            before = at;
        }
        xml::escape_attribute(&node.text, &mut again).unwrap();
    }
    again.push_str("\"><c>");
    tree.nodes.iter().for_each(|node| xml::escape_text(&node.text, &mut again).unwrap());
    again.push_str("</c><d>");
    tree.nodes.iter().for_each(|node| xml::cdata(&node.text, &mut again).unwrap());
    again.push_str("</d></a>");
    let whole: String = tree.nodes.iter().map(|node| node.text.as_ref()).collect();
    let written = xml::parse(&again).unwrap();
    assert!(written.nodes[1..].iter().all(|node| node.text == whole));
});
