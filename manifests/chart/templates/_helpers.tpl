{{/* Labels of everything; the operator's pods are found by the first one alone. */}}
{{- define "soulbox.labels" -}}
app.kubernetes.io/name: soulbox-operator
app.kubernetes.io/part-of: soulbox
{{- if not .Values.plainManifests }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "soulbox.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "soulbox.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "soulbox.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "soulbox.dsnEnv" -}}
- name: SOULBOX_DSN
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret }}
      key: {{ .Values.database.key }}
{{- end }}

{{/* Name of the Lease: operators of the same namespaces have the same one. */}}
{{- define "soulbox.lease" -}}
{{- $served := .Values.watchNamespaces | default list | uniq | sortAlpha -}}
soulbox-operator{{ if $served }}-{{ join "," $served | sha256sum | trunc 10 }}{{ end }}
{{- end }}

{{/* User names that may write spec.cause, as a list of CEL. */}}
{{- define "soulbox.causeWriters" -}}
{{- $operator := printf "system:serviceaccount:%s:soulbox-operator" .Release.Namespace -}}
{{ prepend .Values.admissionPolicy.causeWriters $operator | toJson }}
{{- end }}
