//! A Monday opening: filings waited over the weekend, and the real program sends them, in simulated time. `bench monday` does
//! the same with as many as a province has.

use std::path::Path;

use conformance_tests::bench::monday::{self, Plan};

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_is_sent_at_opening_in_order_at_the_offices_pace() {
    let plan = Plan {
        contract: Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks/yunshui"),
        case: "first_general".to_owned(),
        homes: 100,
        filings_per_home: 5,
        per_minute: 300,
        speed: 20,
    };
    let monday = monday::run(&plan, |_line| {}).await.unwrap();
    eprintln!("{monday}");
    assert_eq!(monday.filings, 500);
    // Five a second, and the first of them at once.
    assert!(monday.took_s >= 99, "{monday}");
}
