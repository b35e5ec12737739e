//! What banks call the canonical fields, and the codes many of them use: the data that drafting goes by
//! (`contracts/standard/names.toml` and `codes.toml`, handed in as texts).

use std::collections::BTreeMap;

use serde::Deserialize;

/// Everything drafting knows; names are kept as they are compared.
#[derive(Debug)]
pub struct Knowledge {
    names: Names,
    codes: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

#[derive(Debug, Deserialize)]
struct Names {
    lists: BTreeMap<String, Vec<String>>,
    mixed: Mixed,
    agent: Agent,
    /// The other groups: field → names.
    #[serde(flatten)]
    groups: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

#[derive(Debug, Deserialize)]
struct Mixed {
    lists: Vec<String>,
    roles: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Agent {
    words: Vec<String>,
}

/// The beginning of a flat name that stands for a list: `抵押人2证件号码`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flat<'n> {
    pub(super) list: &'n str,
    /// As the bank counts.
    pub(super) number: usize,
    pub(super) rest: String,
}

impl Knowledge {
    /// Reads the two data files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(names: &str, codes: &str) -> Result<Self, String> {
        let mut names: Names = toml::from_str(names).map_err(|error| format!("names: {error}"))?;
        let groups = names.groups.values_mut().flat_map(BTreeMap::values_mut);
        let rest = [&mut names.mixed.lists, &mut names.mixed.roles, &mut names.agent.words];
        for name in groups.chain(names.lists.values_mut()).chain(rest).flatten() {
            *name = plain(name);
        }
        let codes = toml::from_str(codes).map_err(|error| format!("codes: {error}"))?;
        Ok(Self { names, codes })
    }

    /// The fields of a group that are called so, in the order of the file.
    pub(super) fn fields(&self, group: &str, name: &str) -> Vec<&str> {
        let fields = self.names.groups.get(group).into_iter().flatten();
        let called = fields.filter(|(_, names)| has(names, name));
        called.map(|(field, _)| field.as_str()).collect()
    }

    /// The list that is called so.
    pub(super) fn list(&self, name: &str) -> Option<&str> {
        let mut lists = self.names.lists.iter();
        lists.find(|(_, names)| has(names, name)).map(|(list, _)| list.as_str())
    }

    /// Whether it is a list of parties of every sort.
    pub(super) fn is_mixed(&self, name: &str) -> bool {
        has(&self.names.mixed.lists, name)
    }

    /// Whether it says a party's role in such a list.
    pub(super) fn is_role(&self, name: &str) -> bool {
        has(&self.names.mixed.roles, name)
    }

    /// Whether it stands for whoever acts for a party.
    pub(super) fn is_agent(&self, name: &str) -> bool {
        has(&self.names.agent.words, name)
    }

    /// What is left of a name that begins with whoever acts for a party; empty if that is all of it.
    pub(super) fn of_agent(&self, name: &str) -> Option<String> {
        let name = plain(name);
        let mut words = self.names.agent.words.iter();
        words.find_map(|word| name.strip_prefix(word).map(str::to_owned))
    }

    /// A flat name with the list and the number it begins with; without number it is the first.
    pub(super) fn flat(&self, name: &str) -> Option<Flat<'_>> {
        let name = plain(name);
        let mut found: Option<(usize, Flat<'_>)> = None;
        for (list, words) in &self.names.lists {
            for word in words {
                let Some(rest) = name.strip_prefix(word) else { continue };
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                let Some(rest) = rest.strip_prefix(&digits).filter(|rest| !rest.is_empty()) else {
                    continue;
                };
                // Without a number only words that are no initials begin a flat name.
                if digits.is_empty() && word.is_ascii() {
                    continue;
                }
                let number = digits.parse().unwrap_or(1);
                // The longest word wins: 抵押权人 is no 抵押.
                if found.as_ref().is_none_or(|(length, _)| word.len() > *length) {
                    found = Some((word.len(), Flat { list, number, rest: rest.to_owned() }));
                }
            }
        }
        found.map(|(_, flat)| flat)
    }

    /// The first table for a type of the model that knows all these codes: code → value.
    pub(super) fn table(&self, of: &str, codes: &[&str]) -> Option<&BTreeMap<String, String>> {
        let tables = self.codes.get(of)?;
        tables.iter().find(|table| codes.iter().all(|code| table.contains_key(*code)))
    }
}

fn has(names: &[String], name: &str) -> bool {
    names.contains(&plain(name))
}

/// A name without what banks write differently.
fn plain(name: &str) -> String {
    let local = name.rsplit(':').next().unwrap_or(name);
    local
        .chars()
        .filter(|character| !matches!(character, '_' | '-' | ' '))
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knowledge() -> Knowledge {
        let names = r#"
            [party]
            id_number = ["ZJH"]
            [lists]
            mortgagors = ["抵押人"]
            mortgagees = ["抵押权人"]
            [mixed]
            lists = ["RYXX"]
            roles = ["JS"]
            [agent]
            words = ["代理人"]
        "#;
        Knowledge::parse(names, "[[IdType]]\n1 = \"RESIDENT_ID\"\n").unwrap()
    }

    #[test]
    fn names_are_compared_without_case_and_strokes() {
        assert_eq!(knowledge().fields("party", "zj_h"), ["id_number"]);
        assert!(knowledge().fields("party", "ZJHM").is_empty());
    }

    #[test]
    fn a_flat_name_begins_with_its_list() {
        let knowledge = knowledge();
        let flat = knowledge.flat("抵押权人2证件号码").unwrap();
        assert_eq!((flat.list, flat.number, flat.rest.as_str()), ("mortgagees", 2, "证件号码"));
        assert_eq!(knowledge.flat("抵押人代理人").unwrap().rest, "代理人");
        assert!(knowledge.flat("抵押方式").is_none());
        assert_eq!(knowledge.of_agent("代理人电话").as_deref(), Some("电话"));
    }

    #[test]
    fn a_table_is_proposed_where_it_knows_all_codes() {
        assert!(knowledge().table("IdType", &["1"]).is_some());
        assert!(knowledge().table("IdType", &["1", "7"]).is_none());
    }
}
