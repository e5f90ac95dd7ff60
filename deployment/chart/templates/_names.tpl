{{- define "pairlens.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Of every object. Not app.kubernetes.io/name on pods: KubeRay's own services select by it. */ -}}
{{- define "pairlens.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: pairlens
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* Of all pods of this release, of every cluster that KubeRay makes of it. */ -}}
{{- define "pairlens.selector" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: pairlens
{{- end -}}

{{- define "pairlens.image" -}}
{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}-{{ .variant }}
{{- end -}}

{{- define "pairlens.modelsClaim" -}}
{{ .Values.models.existingClaim | default (printf "%s-models" (include "pairlens.name" .)) }}
{{- end -}}

{{- define "pairlens.jobsClaim" -}}
{{ .Values.jobs.existingClaim | default (printf "%s-jobs" (include "pairlens.name" .)) }}
{{- end -}}

{{- /* What cannot work is refused here, before the cluster hears of it. */ -}}
{{- define "pairlens.check" -}}
{{- $model := .Values.serve.args.model | default dict -}}
{{- $engine := $model.engine | default "none" -}}
{{- if and (has $engine (list "transformers" "openai")) (not $model.name) -}}
{{- fail (printf "serve.args.model.name is missing: engine %s needs one" $engine) -}}
{{- end -}}
{{- if and (eq $engine "openai") (not (dig "server" "base_url" "" $model)) -}}
{{- fail "serve.args.model.server.base_url is missing: engine openai needs one" -}}
{{- end -}}
{{- if and .Values.gpu.enabled (ne $engine "transformers") -}}
{{- fail (printf "gpu.enabled is true, but serve.args.model.engine is %s: only transformers uses GPUs" $engine) -}}
{{- end -}}
{{- if hasKey (.Values.serve.args.jobs | default dict) "enabled" -}}
{{- fail "serve.args.jobs.enabled is jobs.enabled here: the deployment and the volume go with it" -}}
{{- end -}}
{{- if and .Values.jobs.enabled (not .Values.jobs.database.url) -}}
{{- fail "jobs.database.url is missing: pods cannot share a SQLite file" -}}
{{- end -}}
{{- if and .Values.secrets.webhook.name (not .Values.jobs.enabled) -}}
{{- fail "secrets.webhook is set, but jobs.enabled is not: webhooks tell of jobs" -}}
{{- end -}}
{{- if and .Values.highAvailability.enabled (not .Values.highAvailability.redis.address) -}}
{{- fail "highAvailability.redis.address is missing" -}}
{{- end -}}
{{- if and (eq .Values.upgrade.strategy "NewClusterWithIncrementalUpgrade") (not .Values.upgrade.incremental.gatewayClassName) -}}
{{- fail "upgrade.incremental.gatewayClassName is missing: traffic moves in steps through a Gateway" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host is missing" -}}
{{- end -}}
{{- end -}}
