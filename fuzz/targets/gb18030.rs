//! Any bytes: decoded exactly or refused at the first bad byte; text survives being written and read again.

#![no_main]

use adapters::wire::Charset;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for charset in [Charset::Gb18030, Charset::Utf8] {
        match charset.decode(bytes) {
            Ok(text) => {
                let written = charset.encode(&text).unwrap();
                assert_eq!(charset.decode(&written).unwrap(), text);
                assert_eq!(charset.byte_offset(bytes, text.len()), bytes.len());
                for (offset, _) in text.char_indices().take(64) {
                    let at = charset.byte_offset(bytes, offset);
                    assert_eq!(charset.decode(&bytes[..at]).unwrap(), text[..offset]);
                }
            }
            Err(bad) => assert!(charset.decode(&bytes[..bad.at]).is_ok() && bad.at < bytes.len()),
        }
    }
});
