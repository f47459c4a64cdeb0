{{- define "transponder.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "transponder.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "transponder.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "transponder.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "transponder.selector" -}}
app.kubernetes.io/name: {{ include "transponder.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "transponder.labels" -}}
{{ include "transponder.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "transponder.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "transponder.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- /* The names of the Services of NATS follow the rule of the chart of NATS. */}}
{{- define "transponder.natsUrl" -}}
{{- if .Values.cluster.natsUrl }}
{{- .Values.cluster.natsUrl }}
{{- else if .Values.nats.enabled }}
{{- $name := .Values.nats.nameOverride | default "nats" }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- printf "nats://%s:%v" (.Values.nats.fullnameOverride | default $full | trunc 63 | trimSuffix "-") (dig "config" "nats" "port" 4222 .Values.nats) }}
{{- end }}
{{- end }}

{{- /* "true" if the servers are one service. */}}
{{- define "transponder.clustered" -}}
{{- if or (include "transponder.natsUrl" .) (hasKey .Values.secretSettings "cluster_nats_url") }}true{{ end }}
{{- end }}

{{- /* The last pod of the StatefulSet has the longest name. */}}
{{- define "transponder.longest" -}}
{{- if eq .Values.kind "DaemonSet" }}
{{- include "transponder.fullname" . }}-xxxxx
{{- else }}
{{- include "transponder.fullname" . }}-{{ sub (max (int .Values.replicas) 1) 1 }}
{{- end }}
{{- end }}

{{- /* Values that cannot work together. */}}
{{- define "transponder.check" -}}
{{- if not .Values.image.repository }}
{{- fail "image.repository: say where your registry has the image; \"make image\" makes it, and no public registry has it" }}
{{- end }}
{{- if and .Values.nats.enabled .Values.cluster.natsUrl }}
{{- fail "cluster.natsUrl and nats.enabled: set one of them" }}
{{- end }}
{{- $clustered := include "transponder.clustered" . }}
{{- if and (eq .Values.kind "StatefulSet") (gt (int .Values.replicas) 1) (not $clustered) }}
{{- fail "replicas: more than one server needs NATS; set nats.enabled or cluster.natsUrl" }}
{{- end }}
{{- if and $clustered (not (hasKey .Values.secretFiles "secrets_key_file")) }}
{{- fail "secretFiles.secrets_key_file: servers with NATS share a key; see docs/kubernetes.md" }}
{{- end }}
{{- if and $clustered (gt (len (include "transponder.longest" .)) 32) }}
{{- fail (printf "fullnameOverride: set a shorter name; servers with NATS are called as their pods, and %q has more than 32 letters" (include "transponder.longest" .)) }}
{{- end }}
{{- if and (or .Values.secretFiles .Values.secretSettings) (not .Values.existingSecret) }}
{{- fail "existingSecret: name the Secret that has what secretFiles and secretSettings want" }}
{{- end }}
{{- if .Values.media.addresses }}
{{- if ne .Values.kind "StatefulSet" }}
{{- fail "media.addresses: only the pods of a StatefulSet have addresses of their own" }}
{{- end }}
{{- if lt (len .Values.media.addresses) (int .Values.replicas) }}
{{- fail (printf "media.addresses: %d are too few for %v replicas" (len .Values.media.addresses) .Values.replicas) }}
{{- end }}
{{- end }}
{{- if and .Values.perPodService.enabled (ne .Values.kind "StatefulSet") }}
{{- fail "perPodService.enabled: only the pods of a StatefulSet have names of their own" }}
{{- end }}
{{- if not (or .Values.media.hostNetwork .Values.media.hostPort .Values.perPodService.enabled) }}
{{- fail "media.hostPort: without the port of the node, media needs perPodService.enabled and media.addresses" }}
{{- end }}
{{- if not (or .Values.media.hostNetwork .Values.media.hostPort .Values.media.addresses .Values.settings.ip) }}
{{- fail "media.addresses: say under which addresses browsers reach the Services of the pods" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not (or .Values.metrics.allow .Values.serviceMonitor.authorization)) }}
{{- fail "metrics.allow: say in which networks Prometheus runs, such as 10.244.0.0/16, or set serviceMonitor.authorization" }}
{{- end }}
{{- end }}

{{- /* Settings of the server that have values of their own, each with the value. */}}
{{- define "transponder.owned" -}}
http.port: ports.http
https.port: ports.https
ws.port: ports.ws
wss.port: ports.wss
rtmp.port: ports.rtmp
rtmps.port: ports.rtmps
media_port_from: ports.media
ice_tcp_port: ports.mediaTCP
ice_tcp_transport: ports.mediaTCP
drain_ms: drainSeconds
state_dir: persistence
metrics_allow: metrics.allow
cluster_nats_url: cluster.natsUrl
cluster_name: cluster.name
cluster_node_id: fullnameOverride
cluster_rtmp_address: cluster.rtmpHost
{{- if .Values.tls.existingSecret }}
tls_cert_file: tls.existingSecret
tls_key_file: tls.existingSecret
{{- end }}
{{- if .Values.media.addresses }}
ip: media.addresses
{{- end }}
{{- range $key, $_ := .Values.secretFiles }}
{{ $key }}: secretFiles.{{ $key }}
{{- end }}
{{- range $key, $_ := .Values.secretSettings }}
{{ $key }}: secretSettings.{{ $key }}
{{- end }}
{{- end }}

{{- /* A value as text. Helm reads 4194304 as a number with a fraction, whose text is 4.194304e+06. */}}
{{- define "transponder.word" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* flashphoner.properties: of the chart (top), with the address of a pod or without one (address). */}}
{{- define "transponder.properties" -}}
{{- $owned := include "transponder.owned" .top | fromYaml }}
{{- with .top.Values }}
{{- $all := dict "media_dir" "/var/lib/transponder/media" "tls_dir" "/var/lib/transponder/tls" }}
{{- range $key, $value := .settings }}
{{- if hasKey $owned $key }}
{{- fail (printf "settings.%s: set %s" $key (get $owned $key)) }}
{{- end }}
{{- $words := list }}
{{- range kindIs "slice" $value | ternary $value (list $value) }}
{{- $words = append $words (include "transponder.word" .) }}
{{- end }}
{{- $_ := set $all $key (join "," $words) }}
{{- end }}
{{- if and .ingress.enabled .ingress.hosts }}
{{- $_ := set $all "http_allowed_hosts" (concat .ingress.hosts (list (get $all "http_allowed_hosts")) | compact | join ",") }}
{{- end }}
{{- range $key, $port := dict "http" .ports.http "https" .ports.https "ws" .ports.ws "wss" .ports.wss "rtmp" .ports.rtmp "rtmps" .ports.rtmps }}
{{- $_ := set $all (printf "%s.port" $key) (toString $port) }}
{{- end }}
{{- $_ := set $all "media_port_from" (toString .ports.media) }}
{{- if gt (int .ports.mediaTCP) 0 }}
{{- $_ := merge $all (dict "ice_tcp_transport" "true" "ice_tcp_port" (toString .ports.mediaTCP)) }}
{{- end }}
{{- $_ := merge $all (dict "drain_ms" (mul .drainSeconds 1000 | toString) "state_dir" "/var/lib/transponder/state") }}
{{- if .metrics.allow }}
{{- $_ := set $all "metrics_allow" (join "," .metrics.allow) }}
{{- end }}
{{- if include "transponder.clustered" $.top }}
{{- $_ := set $all "cluster_name" .cluster.name }}
{{- with include "transponder.natsUrl" $.top }}
{{- $_ := set $all "cluster_nats_url" . }}
{{- end }}
{{- end }}
{{- if .tls.existingSecret }}
{{- $_ := merge $all (dict "tls_cert_file" "/run/transponder/tls/tls.crt" "tls_key_file" "/run/transponder/tls/tls.key") }}
{{- end }}
{{- range $key, $name := .secretFiles }}
{{- $_ := set $all $key (printf "/run/transponder/secrets/%s" $name) }}
{{- end }}
{{- with $.address }}
{{- $_ := set $all "ip" . }}
{{- end }}
{{- range $key, $value := $all }}
{{- if contains "\n" $value }}
{{- fail (printf "settings.%s: a setting is one line" $key) }}
{{- end }}
{{ $key }}={{ $value | replace "\\" "\\\\" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The ports of the Services: http says whether with HTTP, media whether with WebRTC media. */}}
{{- define "transponder.servicePorts" -}}
{{- $p := .top.Values.ports }}
{{- if .http }}
{{- range $name, $port := dict "http" $p.http "https" $p.https "ws" $p.ws "wss" $p.wss }}
{{- if gt (int $port) 0 }}
- {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}, appProtocol: {{ has $name (list "https" "wss") | ternary "https" "http" }}}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $port := dict "rtmp" $p.rtmp "rtmps" $p.rtmps }}
{{- if gt (int $port) 0 }}
- {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}}
{{- end }}
{{- end }}
{{- if .media }}
- {name: media, port: {{ $p.media }}, targetPort: media, protocol: UDP}
{{- if gt (int $p.mediaTCP) 0 }}
- {name: media-tcp, port: {{ $p.mediaTCP }}, targetPort: media-tcp}
{{- end }}
{{- end }}
{{- end }}
