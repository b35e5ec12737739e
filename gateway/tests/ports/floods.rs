//! Floods over HTTP/2 by a bank that is known, written frame by frame as no client would: streams that are reset at once, more
//! streams than are allowed, a head without an end. Each costs the flooding connection; others are answered meanwhile.

use super::*;

/// A frame (RFC 9113, section 4.1).
pub(super) fn frame_of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
pub(super) const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// `POST https://localhost/file`, by the static table (RFC 7541).
pub(super) fn head() -> Vec<u8> {
    let mut head = vec![0x83, 0x87, 0x04, 5];
    head.extend(b"/file");
    head.extend([0x01, 9]);
    head.extend(b"localhost");
    head
}

/// The numbers that a client gives its streams.
pub(super) fn streams(count: usize) -> impl Iterator<Item = u32> {
    (1_u32..).step_by(2).take(count)
}

impl House {
    /// A connection of a bank on which HTTP/2 has begun.
    async fn flooder(&self) -> TlsStream<TcpStream> {
        let mut stream = self.connect(self.https, Some("web.example"), &["h2"]).await.unwrap();
        let mut begun = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        begun.extend(frame_of(SETTINGS, 0, 0, &[]));
        stream.write_all(&begun).await.unwrap();
        stream
    }

    /// Another connection of the same bank is answered.
    async fn answers_others(&self) {
        let mut stream = self.web().await;
        let response = said(&mut stream, &post("/file", "", "other")).await;
        assert!(response.contains("answer to other"), "{response}");
    }
}

/// The next frame: what kind, for which stream, and the error code of those that end something.
pub(super) async fn next(stream: &mut TlsStream<TcpStream>) -> io::Result<(u8, u32, u32)> {
    let mut head = [0; 9];
    within(stream.read_exact(&mut head)).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    within(stream.read_exact(&mut payload)).await?;
    let number = |at: usize| {
        let four = payload.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map_or(0, u32::from_be_bytes)
    };
    let code = if head[3] == GOAWAY { number(4) } else { number(0) };
    Ok((head[3], u32::from_be_bytes(head[5..9].try_into().unwrap()), code))
}

/// Why the port ends the connection; `None` if it just closes it.
async fn goodbye(stream: &mut TlsStream<TcpStream>) -> Option<u32> {
    loop {
        match next(stream).await {
            Ok((GOAWAY, _, code)) => return Some(code),
            Ok(_) => {}
            Err(_closed) => return None,
        }
    }
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection_and_no_other() {
    let limits = Limits { http2_resets_max: 16, ..Limits::default() };
    let house = House::open(limits).await;
    let mut flooder = house.flooder().await;
    let mut flood = Vec::new();
    for number in streams(2_000) {
        flood.extend(frame_of(HEADERS, END_HEADERS, number, &head()));
        flood.extend(frame_of(RST_STREAM, 0, number, &8_u32.to_be_bytes()));
    }
    // It may be closed on before all of it is sent.
    let _cut_off = within(flooder.write_all(&flood)).await;
    assert_eq!(goodbye(&mut flooder).await, Some(ENHANCE_YOUR_CALM));
    house.answers_others().await;
    assert_eq!(house.desk.finished.load(Ordering::SeqCst), 1, "no message ever came whole");
}

#[tokio::test]
async fn more_streams_than_are_allowed_are_refused_one_by_one() {
    let house = House::open(Limits { http2_streams_max: 4, ..Limits::default() }).await;
    let mut flooder = house.flooder().await;
    let mut flood = Vec::new();
    for number in streams(10) {
        flood.extend(frame_of(HEADERS, END_HEADERS, number, &head()));
    }
    within(flooder.write_all(&flood)).await.unwrap();
    let mut refused = Vec::new();
    while refused.len() < 6 {
        if let (RST_STREAM, number, code) = next(&mut flooder).await.unwrap() {
            assert_eq!(code, REFUSED_STREAM);
            refused.push(number);
        }
    }
    assert_eq!(refused, streams(10).skip(4).collect::<Vec<_>>());
    house.answers_others().await;
}

#[tokio::test]
async fn a_head_without_an_end_ends_its_connection() {
    let house = House::open(Limits::default()).await;
    let mut flooder = house.flooder().await;
    let mut flood = frame_of(HEADERS, 0, 1, &head());
    // A field of its own each, 200 bytes: `x: aaa…`, not kept in the table.
    let mut field = vec![0x00, 1, b'x', 127, 65];
    field.extend([b'a'; 192]);
    for _ in 0..20_000 {
        flood.extend(frame_of(CONTINUATION, 0, 1, &field));
    }
    let sent = within(flooder.write_all(&flood)).await;
    let told = goodbye(&mut flooder).await;
    assert!(sent.is_err() || told.is_some(), "it was read to its end: {told:?}");
    house.answers_others().await;
}
