//! An account of a proof as a page that a lawyer can read: Chinese and English, one file, nothing loaded from elsewhere.

use minijinja::{Environment, context};

use super::{
    bundle::{self, Account, Verdict},
    leaf::Part,
};

/// What lines of a leaf are called on the page: the line's name, Chinese, English.
const NAMES: [(&str, &str, &str); 13] = [
    ("origin", "日志名称", "Log"),
    ("institution", "机构", "Institution"),
    ("key", "幂等键", "Key"),
    ("message", "报文种类", "Kind of message"),
    ("contract", "合约", "Contract"),
    ("contract-version", "合约版本", "Version of the contract"),
    ("contract-digest", "合约摘要", "Digest of the contract"),
    ("heard", "收到时间（UTC）", "Heard (UTC)"),
    ("answered", "答复时间（UTC）", "Answered (UTC)"),
    ("result", "结果", "Result"),
    ("registry", "登记系统", "Registry"),
    ("office", "登记机构", "Office"),
    ("case", "受理编号", "Case"),
];

/// The page.
///
/// # Errors
/// Only if the template is not one.
pub fn written(account: &Account, file: &str) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_filter("chinese", |name: String| called(&name).0);
    environment.add_filter("english", |name: String| called(&name).1);
    // By its ending the engine knows that it is HTML, and what is put in is escaped.
    environment.add_template("page.html", include_str!("page.html"))?;
    let verdict = match account.verdict() {
        Verdict::Holds => "holds",
        Verdict::Unvouched => "unvouched",
        Verdict::Fails => "fails",
    };
    environment.get_template("page.html")?.render(context! { account, verdict, file })
}

/// Chinese and English.
fn called(name: &str) -> (String, String) {
    if let Some((_, chinese, english)) = NAMES.iter().find(|(line, _, _)| *line == name) {
        return ((*chinese).to_owned(), (*english).to_owned());
    }
    let part = Part::ALL.into_iter().find(|part| part.name() == name);
    let (chinese, english) = match part {
        Some(part) => (bundle::chinese(part), part.name()),
        None => (name, name),
    };
    (format!("{chinese}（加盐摘要）"), format!("{english} (salted digest)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::bundle::{Finding, Read};

    #[test]
    fn a_page_says_everything_in_both_languages_and_escapes_what_it_is_given() {
        let finding = Finding {
            verdict: Verdict::Holds,
            english: "it holds".to_owned(),
            chinese: "成立".to_owned(),
        };
        let read = Read {
            index: 7,
            is_proved: true,
            is_salted: false,
            lines: vec![
                ("institution".to_owned(), "<script>".to_owned()),
                ("received".to_owned(), "00".to_owned()),
            ],
            files: vec![("received".to_owned(), "sent.xml".to_owned())],
        };
        let account = Account { findings: vec![finding], checkpoint: None, exchanges: vec![read] };
        let page = written(&account, "a.json").unwrap();
        for said in
            ["成立", "it holds", "机构", "Institution", "银行来文", "sent.xml", "&lt;script&gt;"]
        {
            assert!(page.contains(said), "{said}: {page}");
        }
        assert!(!page.contains("<script>") && !page.contains("http"), "{page}");
    }
}
