//! Charges, as they are entered, changed, handed on and ended. What may be is decided in `judgement`.

use proto::v1::{
    MortgageChange, MortgageDischarge, MortgageKind, MortgageRegistration, MortgageTransfer,
};

use super::{Charge, ChargeId, Entitled, Register, Stamp, TitleId};

impl Register {
    /// Enters a charge on each of the titles, a certificate each, whose numbers it gives back in that order.
    pub(in super::super) fn enter_charges(
        &mut self,
        application: &MortgageRegistration,
        titles: &[TitleId],
        stamp: Stamp<'_>,
    ) -> Vec<String> {
        let amount_fen = match application.kind() {
            MortgageKind::Maximum => application.maximum_amount_fen,
            MortgageKind::General | MortgageKind::Unspecified => application.secured_amount_fen,
        };
        let mut numbers = Vec::with_capacity(titles.len());
        for title in titles {
            let number = self.new_certificate_number(stamp);
            self.add_charge(Charge {
                certificate_number: number.clone(),
                titles: vec![*title],
                standing: vec![*title],
                kind: application.kind(),
                stage: application.stage(),
                amount_fen: amount_fen.unwrap_or_default(),
                from: application.debt_from.clone(),
                to: application.debt_to.clone(),
                mortgagees: application.mortgagees.iter().map(Entitled::of).collect(),
                transfer_restricted: application.transfer_restricted(),
                entry: 0,
            });
            numbers.push(number);
        }
        numbers
    }

    /// Ends the named charges on those titles. What is not charged by them is left alone.
    pub(in super::super) fn discharge(
        &mut self,
        application: &MortgageDischarge,
        titles: &[TitleId],
    ) {
        for number in &application.certificate_numbers {
            let Some(id) = self.charges_by_certificate.get(number) else { continue };
            if let Some(charge) = self.charges.get_mut(id.0) {
                charge.standing.retain(|title| !titles.contains(title));
            }
        }
    }

    /// Changes charges. Their rank stays: what they are changed to counts from the first entry. Each gets a new certificate.
    pub(in super::super) fn change_charges(
        &mut self,
        application: &MortgageChange,
        charges: &[ChargeId],
        stamp: Stamp<'_>,
    ) -> Vec<String> {
        self.certified_anew(charges, stamp, |charge| {
            let amount = application.secured_amount_fen.or(application.maximum_amount_fen);
            charge.amount_fen = amount.unwrap_or(charge.amount_fen);
            for (field, new) in
                [(&mut charge.from, &application.debt_from), (&mut charge.to, &application.debt_to)]
            {
                if !new.is_empty() {
                    field.clone_from(new);
                }
            }
        })
    }

    /// Charges pass to other lenders, with their rank. Each gets a new certificate.
    pub(in super::super) fn transfer_charges(
        &mut self,
        application: &MortgageTransfer,
        charges: &[ChargeId],
        stamp: Stamp<'_>,
    ) -> Vec<String> {
        self.certified_anew(charges, stamp, |charge| {
            charge.mortgagees = application.transferees.iter().map(Entitled::of).collect();
        })
    }

    /// New certificates for charges; the old ones certify nothing any more.
    pub(in super::super) fn certified_anew(
        &mut self,
        charges: &[ChargeId],
        stamp: Stamp<'_>,
        change: impl Fn(&mut Charge),
    ) -> Vec<String> {
        let mut numbers = Vec::with_capacity(charges.len());
        for id in charges {
            let number = self.new_certificate_number(stamp);
            let Some(charge) = self.charges.get_mut(id.0) else { continue };
            self.charges_by_certificate.remove(&charge.certificate_number);
            charge.certificate_number.clone_from(&number);
            change(charge);
            self.charges_by_certificate.insert(number.clone(), *id);
            numbers.push(number);
        }
        numbers
    }
}
