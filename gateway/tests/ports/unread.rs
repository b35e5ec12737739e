//! Answers that a bank does not take: each keeps its place until it is taken or its time is over, and costs no other bank, and
//! over HTTP/2 no other request, anything.

use super::{
    floods::{END_HEADERS, HEADERS, RST_STREAM, SETTINGS, frame_of, head, next, streams},
    *,
};

const END_STREAM: u8 = 1;
const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 8;
const INITIAL_WINDOW_SIZE: u16 = 4;

impl House {
    /// A connection over HTTP/2 of a bank that lets so many bytes of each answer come, and has asked so much.
    async fn taker(&self, window: u32, questions: usize) -> TlsStream<TcpStream> {
        let mut stream = self.connect(self.https, Some("web.example"), &["h2"]).await.unwrap();
        let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
        let mut begun = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        begun.extend(frame_of(SETTINGS, 0, 0, &setting));
        for number in streams(questions) {
            begun.extend(frame_of(HEADERS, END_HEADERS | END_STREAM, number, &head()));
        }
        stream.write_all(&begun).await.unwrap();
        stream
    }
}

/// The next frame of this kind: its stream and error code.
async fn next_of(stream: &mut TlsStream<TcpStream>, wanted: u8) -> (u32, u32) {
    loop {
        let (kind, number, code) = next(stream).await.unwrap();
        if kind == wanted {
            return (number, code);
        }
    }
}

async fn is_answered(house: &House) -> bool {
    let answer = said(&mut house.web().await, &post("/file", "", "other")).await;
    assert!(answer.contains("answer to other") || answer.contains("Busy"), "{answer}");
    answer.contains("answer to other")
}

#[tokio::test]
async fn an_answer_over_http2_has_its_place_until_the_bank_lets_all_of_it_come() {
    let house = House::open(Limits { institution_exchanges_max: 2, ..Limits::default() }).await;
    // All but a byte: "answer to  in " and 32 digits.
    let mut taker = house.taker(45, 2).await;
    for _ in 0..2 {
        next_of(&mut taker, DATA).await;
    }
    assert!(!is_answered(&house).await);
    for number in streams(2) {
        let more = frame_of(WINDOW_UPDATE, 0, number, &1_u32.to_be_bytes());
        taker.write_all(&more).await.unwrap();
    }
    for _ in 0..2 {
        next_of(&mut taker, DATA).await;
    }
    assert!(is_answered(&house).await);
}

#[tokio::test]
async fn an_answer_that_is_not_let_come_ends_its_stream_and_no_other() {
    let limits = Limits {
        institution_exchanges_max: 2,
        answer_max: Duration::from_millis(100),
        ..Limits::default()
    };
    let house = House::open(limits).await;
    for window in [0, 45] {
        let mut taker = house.taker(window, 2).await;
        let mut ended =
            [next_of(&mut taker, RST_STREAM).await.0, next_of(&mut taker, RST_STREAM).await.0];
        ended.sort_unstable();
        assert_eq!(ended, [1, 3], "window {window}");
        assert!(is_answered(&house).await, "their places are free again");
        // The connection stands, and the next may ask for more.
        let asked = frame_of(HEADERS, END_HEADERS | END_STREAM, 5, &head());
        let more = frame_of(WINDOW_UPDATE, 0, 5, &100_u32.to_be_bytes());
        taker.write_all(&[asked, more].concat()).await.unwrap();
        assert_eq!(next_of(&mut taker, DATA).await.0, 5);
    }
}

#[tokio::test]
async fn an_answer_over_http1_that_is_not_read_ends_its_connection() {
    let limits = Limits {
        institution_exchanges_max: 1,
        body_bytes_max: 64 * 1024 * 1024,
        header_max: Duration::from_millis(100),
        answer_max: Duration::from_millis(300),
        ..Limits::default()
    };
    let house = House::open(limits).await;
    let mut unread = house.web().await;
    // More than the system takes on its way.
    let large = "x".repeat(32 * 1024 * 1024);
    within(unread.write_all(post("/file", "", &large).as_bytes())).await.unwrap();
    within(house.desk.begun.notified()).await;
    within(async { while !is_answered(&house).await {} }).await;
    let read = to_end(&mut unread).await.len();
    assert!(read < large.len(), "{read} bytes came");
}
