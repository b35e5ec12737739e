//! Any bytes behind any prefix: stripped or refused; what is put on is stripped; the skin as a whole never panics.

#![no_main]

use adapters::wire::{Charset, Media, Prefix, Wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (digits, counts_itself, bytes) = input;
    let Some(prefix) = Prefix::new(4 + digits % 4 * 2, counts_itself) else { return };
    if let Ok(body) = prefix.strip(bytes) {
        assert_eq!(prefix.body_length(bytes), Ok(body.len()));
        assert_eq!(prefix.put_on(body).as_deref(), Ok(bytes));
    }
    if let Ok(framed) = prefix.put_on(bytes) {
        assert_eq!(prefix.strip(&framed), Ok(bytes));
    }
    for charset in [Charset::Utf8, Charset::Gb18030] {
        let wire = Wire { prefix: Some(prefix), ..Wire::new(Media::Json, charset) };
        match wire.open(bytes) {
            Ok(opened) => assert_eq!(opened.sent_offset(opened.text.len()), bytes.len()),
            Err(fault) => assert!(fault.at <= bytes.len()),
        }
    }
});
