//! How bytes travel: charset, length prefix, HTTP form field, signature, Base64, gzip. A closed list, chosen by the
//! contract's `[wire]`.
