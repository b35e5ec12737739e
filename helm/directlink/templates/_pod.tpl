{{/* What both the gateway and the migration run with: as nobody, with nothing, on a read-only root. */}}
{{- define "directlink.pod-security" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
# Do not walk through a volume that is as it should be already.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "directlink.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Secrets' folders → Secrets: those that are there, and those that cert-manager makes. */}}
{{- define "directlink.secrets" -}}
{{- $all := dict -}}
{{- range $folder, $secret := .Values.secrets -}}
  {{- if $secret -}}{{- $_ := set $all $folder $secret -}}{{- end -}}
{{- end -}}
{{- range $folder, $_ := .Values.certificates -}}
  {{- $_ := set $all $folder (printf "%s-%s" (include "directlink.name" $) $folder) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* The volume with the database's password and authority. */}}
{{- define "directlink.ledger-volume" -}}
name: secret-ledger
{{- if eq .Values.ledger.store "cloudnativepg" }}
projected:
  defaultMode: 0440
  sources:
    - secret:
        name: {{ include "directlink.database" . }}-app
        items: [{ key: password, path: password }]
    # Only the certificate: the authority's key lies in the same Secret.
    - secret:
        name: {{ include "directlink.database" . }}-ca
        items: [{ key: ca.crt, path: ca.crt }]
{{- else }}
secret:
  secretName: {{ .Values.secrets.ledger }}
  defaultMode: 0440
{{- end }}
{{- end -}}
