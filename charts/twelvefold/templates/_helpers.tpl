{{/* Names are fixed: the webhook configurations are cluster-wide, so a cluster has one installation. */}}

{{- define "twelvefold.selectorLabels" -}}
app.kubernetes.io/name: twelvefold-webhook
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "twelvefold.labels" -}}
{{ include "twelvefold.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: twelvefold
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Argument: (list image appVersion) */}}
{{- define "twelvefold.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 1) }}
{{- end -}}
{{- end }}

{{/*
Opted in, not excluded, not AKS's own. The last two stand as AKS's admissions enforcer writes them: it would
add them itself, and then own a part of what the next upgrade wants to apply.
*/}}
{{- define "twelvefold.namespaceSelector" -}}
matchExpressions:
- key: twelvefold.dev/admission
  operator: In
  values: [enabled]
- key: kubernetes.io/metadata.name
  operator: NotIn
  values:
  {{- toYaml (append .Values.excludedNamespaces .Release.Namespace | uniq) | nindent 2 }}
{{ include "twelvefold.aksSelector" . }}
{{- end }}

{{- define "twelvefold.aksSelector" -}}
- key: control-plane
  operator: NotIn
  values: ["true"]
- key: kubernetes.azure.com/managedby
  operator: NotIn
  values: [aks]
{{- end }}

{{/* Argument: (dict "root" $ "path" "/mutate"). In mode self the webhook writes caBundle itself. */}}
{{- define "twelvefold.clientConfig" -}}
service:
  name: twelvefold-webhook
  namespace: {{ .root.Release.Namespace }}
  path: {{ .path }}
  port: 443
{{- if eq .root.Values.certificates.mode "secret" }}
caBundle: {{ .root.Values.certificates.caBundle | b64enc }}
{{- end }}
{{- end }}

{{- define "twelvefold.tlsSecretName" -}}
{{- if eq .Values.certificates.mode "cert-manager" -}}
twelvefold-webhook-tls
{{- else -}}
{{ .Values.certificates.secretName }}
{{- end -}}
{{- end }}
