//! Whether the office in charge does at all what is asked of it: known before anything is sent.

use adapters::FaultCode;
use proto::v1::{Application, DeliveryMethod};

use super::Hearing;
use crate::{
    capability, matter,
    refusal::{Code, Refusal},
    settings::Office,
};

impl Hearing<'_> {
    /// Refuses a matter that the office does not take, with where to turn to, and a delivery that it does not make.
    pub(super) fn supported(
        &self,
        application: &Application,
        office: &Office,
    ) -> Result<(), Refusal> {
        let service = self.gateway.capabilities.of(office);
        let matter = matter::name(application);
        if !service.takes(matter) {
            let detail =
                format!("{}，请到登记机构办理：{}", matter::term(matter), service.where_to_turn());
            return Err(Refusal::of(Code::UnsupportedByOffice).with_detail(detail));
        }
        let asked = application.delivery.as_ref().map(|delivery| delivery.method());
        let (Some(asked), Some(made)) = (asked, service.deliveries()) else { return Ok(()) };
        if asked == DeliveryMethod::Unspecified || made.contains(&asked) {
            return Ok(());
        }
        let made: Vec<_> = made.into_iter().map(capability::name_of).collect();
        let mut faults =
            self.faults(FaultCode::DeliveryUnsupported, &["delivery.method".to_owned()]);
        for fault in &mut faults {
            fault.found = Some(capability::name_of(asked).to_owned());
            fault.expected = Some(made.join("、"));
        }
        Err(Refusal::of_faults(faults))
    }
}
