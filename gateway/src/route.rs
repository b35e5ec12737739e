//! Which registry office is in charge: by where the property lies, never by where the outlet is or what a bank says.
//!
//! The longest known prefix of the unit code (不动产单元代码) decides, of 19, 12, 9 or 6 characters, after a retired
//! division code has been replaced by its successor. A presale home that has no unit code yet goes by the beginning of
//! its presale contract's filing number. Evidence that disagrees is told, never guessed away. Source: docs/domain.md.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use proto::v1::{self, Property};

use crate::settings::{Office, Routing};

/// Lengths of unit-code prefixes that mean something: with sequence number, sub-area, area, division.
pub const PREFIX_LENGTHS: [usize; 4] = [19, 12, 9, 6];

impl Office {
    /// The office as an application carries it.
    pub fn canonical(&self) -> v1::Office {
        v1::Office {
            code: self.code.clone(),
            name: self.name.clone(),
            division: self.division.clone(),
        }
    }
}

/// Why no single office is in charge. Fields are contract paths of the properties at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoOffice {
    /// These properties lie in no known office's district, or do not say where they lie.
    Unknown {
        /// `matter.properties[i].unit_code`, or `.presale_contract_number`.
        fields: Vec<String>,
    },
    /// The properties lie under several offices.
    Several {
        /// For each property that is not under the first one's office: its field and the office it is under.
        fields: Vec<(String, String)>,
        /// Name of the first property's office.
        first: String,
    },
}

/// The table of offices.
#[derive(Debug, Default)]
pub struct Route {
    by_prefix: HashMap<String, Arc<Office>>,
    by_presale_prefix: Vec<(String, Arc<Office>)>,
    retired: BTreeMap<String, String>,
    offices: Vec<Arc<Office>>,
}

impl Route {
    /// A table of these offices. Where two of them claim a prefix the later one has it: settings refuse that before.
    pub fn new(offices: &[Office], routing: &Routing) -> Self {
        let mut route = Self { retired: routing.retired.clone(), ..Self::default() };
        for office in offices.iter().cloned().map(Arc::new) {
            route.offices.push(Arc::clone(&office));
            for prefix in &office.prefixes {
                route.by_prefix.insert(prefix.clone(), Arc::clone(&office));
            }
            for prefix in &office.presale_prefixes {
                route.by_presale_prefix.push((prefix.clone(), Arc::clone(&office)));
            }
        }
        // Longest first, so that the first that fits is the longest.
        route.by_presale_prefix.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        route
    }

    /// Every office.
    pub fn offices(&self) -> Vec<Arc<Office>> {
        self.offices.clone()
    }

    /// The one office in charge of all the properties.
    ///
    /// # Errors
    /// [`NoOffice`] where there is none, or more than one.
    pub fn office_for(&self, properties: &[Property]) -> Result<Arc<Office>, NoOffice> {
        let offices: Vec<_> = properties.iter().map(|property| self.office_of(property)).collect();
        let unknown: Vec<_> = (0..)
            .zip(properties.iter().zip(&offices))
            .filter(|(_, (_, office))| office.is_none())
            .map(|(at, (property, _))| field_of(property, at))
            .collect();
        let Some(first) = offices.iter().flatten().next().filter(|_| unknown.is_empty()) else {
            return Err(NoOffice::Unknown { fields: unknown });
        };
        let elsewhere: Vec<_> = (0..)
            .zip(properties.iter().zip(offices.iter().flatten()))
            .filter(|(_, (_, office))| office.code != first.code)
            .map(|(at, (property, office))| (field_of(property, at), office.name.clone()))
            .collect();
        if elsewhere.is_empty() {
            Ok(Arc::clone(first))
        } else {
            Err(NoOffice::Several { fields: elsewhere, first: first.name.clone() })
        }
    }

    /// The office of that code, whoever says it.
    pub fn named(&self, code: &str) -> Option<&Arc<Office>> {
        let presale = self.by_presale_prefix.iter().map(|(_, office)| office);
        self.by_prefix.values().chain(presale).find(|office| office.code == code)
    }

    fn office_of(&self, property: &Property) -> Option<Arc<Office>> {
        if property.unit_code.is_empty() {
            return self.office_of_presale(&property.presale_contract_number);
        }
        let current = self.with_current_division(&property.unit_code);
        PREFIX_LENGTHS
            .iter()
            .filter_map(|length| current.get(..*length))
            .find_map(|prefix| self.by_prefix.get(prefix))
            .cloned()
    }

    fn office_of_presale(&self, number: &str) -> Option<Arc<Office>> {
        self.by_presale_prefix
            .iter()
            .find(|(prefix, _)| number.starts_with(prefix.as_str()))
            .map(|(_, office)| Arc::clone(office))
    }

    /// The unit code with a retired division replaced: registers keep the code, districts move.
    fn with_current_division(&self, unit_code: &str) -> String {
        let successor = unit_code.get(..6).and_then(|division| self.retired.get(division));
        match (successor, unit_code.get(6..)) {
            (Some(successor), Some(rest)) => format!("{successor}{rest}"),
            _ => unit_code.to_owned(),
        }
    }
}

fn field_of(property: &Property, at: usize) -> String {
    let field = match property.unit_code.is_empty() && !property.presale_contract_number.is_empty()
    {
        true => "presale_contract_number",
        false => "unit_code",
    };
    format!("matter.properties[{at}].{field}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn office(code: &str, prefixes: &[&str], presale: &[&str]) -> Office {
        Office {
            code: code.into(),
            name: format!("office {code}"),
            division: code.into(),
            registry: "province".into(),
            prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            presale_prefixes: presale.iter().map(|prefix| (*prefix).to_owned()).collect(),
            ..Office::default()
        }
    }

    fn table() -> Route {
        Route::new(
            &[
                office("110101", &["110101", "110102"], &["YS"]),
                office("110103", &["110101001002"], &["YS-X"]),
            ],
            &Routing { retired: BTreeMap::from([("110199".to_owned(), "110102".to_owned())]) },
        )
    }

    fn unit(code: &str) -> Property {
        Property { unit_code: code.into(), ..Property::default() }
    }

    fn presale(number: &str) -> Property {
        Property { presale_contract_number: number.into(), ..Property::default() }
    }

    fn code_for(properties: &[Property]) -> Result<String, NoOffice> {
        table().office_for(properties).map(|office| office.code.clone())
    }

    #[test]
    fn the_longest_known_prefix_decides() {
        assert_eq!(code_for(&[unit("110101001002GB00001F00010001")]).unwrap(), "110103");
        assert_eq!(code_for(&[unit("110101001003GB00001F00010001")]).unwrap(), "110101");
        assert_eq!(code_for(&[presale("YS-X-1")]).unwrap(), "110103");
        assert_eq!(code_for(&[presale("YS-1")]).unwrap(), "110101");
    }

    #[test]
    fn a_retired_division_goes_to_its_successor() {
        assert_eq!(code_for(&[unit("110199001002GB00001F00010001")]).unwrap(), "110101");
    }

    #[test]
    fn a_place_nobody_knows_is_told_with_its_field() {
        let fields = vec!["matter.properties[1].unit_code".to_owned()];
        assert_eq!(
            code_for(&[unit("110101001003GB00001F00010001"), unit("990101001003GB00001F00010001")]),
            Err(NoOffice::Unknown { fields })
        );
        let fields = vec!["matter.properties[0].presale_contract_number".to_owned()];
        assert_eq!(code_for(&[presale("ZZ-1")]), Err(NoOffice::Unknown { fields }));
        assert!(matches!(code_for(&[]), Err(NoOffice::Unknown { .. })));
    }

    #[test]
    fn properties_under_two_offices_are_not_guessed_into_one() {
        let both = [unit("110101001003GB00001F00010001"), unit("110101001002GB00001F00010001")];
        let fields =
            vec![("matter.properties[1].unit_code".to_owned(), "office 110103".to_owned())];
        assert_eq!(
            code_for(&both),
            Err(NoOffice::Several { fields, first: "office 110101".into() })
        );
    }
}
