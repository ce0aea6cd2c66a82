package mutate

import (
	"cmp"
	"slices"
	"strings"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// builtInExporters are ready for use. A policy may change or replace each of them by name.
//
// redis: https://github.com/oliver006/redis_exporter, nginx: https://github.com/nginx/nginx-prometheus-exporter; flags,
// variables and users are from their READMEs and Dockerfiles.
var builtInExporters = []policy.Exporter{
	{
		Name:        "redis",
		Match:       []string{"redis", "valkey"},
		Image:       "docker.io/oliver006/redis_exporter:v1.88.0",
		Port:        9121,
		PortFlag:    "--web.listen-address=$(ADDRESS)",
		AppPort:     6379,
		Env:         map[string]string{"REDIS_ADDR": "redis://localhost:$(APP_PORT)"},
		Credentials: map[string]string{"REDIS_PASSWORD": "REDIS_PASSWORD"},
		User:        59000,
	},
	{
		Name:     "nginx",
		Match:    []string{"nginx", "nginx-unprivileged"},
		Image:    "docker.io/nginx/nginx-prometheus-exporter:1.5.3",
		Port:     9113,
		PortFlag: "--web.listen-address=$(ADDRESS)",
		Args:     []string{"--nginx.scrape-uri=http://localhost:$(APP_PORT)/stub_status"},
		User:     1001,
	},
}

// exporterPorts are the ports of exporters that people run themselves, by the last segment of their images with _ as -.
var exporterPorts = map[string]int32{
	"redis-exporter": 9121, "nginx-prometheus-exporter": 9113, "nginx-exporter": 9113, "postgres-exporter": 9187,
	"mysqld-exporter": 9104, "memcached-exporter": 9150, "apache-exporter": 9117, "php-fpm-exporter": 9253,
	"mongodb-exporter": 9216, "statsd-exporter": 9102,
}

// exporters are the built-in ones with the policy's changes, and then the policy's own.
func exporters(m *policy.Metrics) []policy.Exporter {
	all := slices.Clone(builtInExporters)
	for i := range all {
		all[i].Image = mirrored(all[i].Image, m.Registry)
	}
	for _, e := range m.Exporters {
		i := slices.IndexFunc(all, func(known policy.Exporter) bool { return known.Name == e.Name })
		if i < 0 {
			all = append(all, e)
			continue
		}
		all[i] = over(e, all[i])
	}
	for i := range all {
		all[i].User = cmp.Or(all[i].User, 65534)
	}
	return all
}

// over is an exporter with another's fields where it has none.
func over(e, base policy.Exporter) policy.Exporter {
	base.Image = cmp.Or(e.Image, base.Image)
	base.Port = cmp.Or(e.Port, base.Port)
	base.PortFlag = cmp.Or(e.PortFlag, base.PortFlag)
	base.AppPort = cmp.Or(e.AppPort, base.AppPort)
	base.User = cmp.Or(e.User, base.User)
	if e.Match != nil {
		base.Match = e.Match
	}
	if e.Args != nil {
		base.Args = e.Args
	}
	if e.Env != nil {
		base.Env = e.Env
	}
	if e.Credentials != nil {
		base.Credentials = e.Credentials
	}
	return base
}

// mirrored is an image's name in a mirror: the same path below another registry.
func mirrored(name, registry string) string {
	ref, err := image.Parse(name)
	if registry == "" || err != nil {
		return name
	}
	name = strings.TrimSuffix(registry, "/") + "/" + ref.Repository
	if ref.Tag != "" {
		name += ":" + ref.Tag
	}
	if ref.Digest != "" {
		name += "@" + ref.Digest
	}
	return name
}

// imageBase is the last segment of an image's name; empty if it can't be read.
func imageBase(name string) string {
	ref, err := image.Parse(name)
	if err != nil {
		return ""
	}
	return ref.Base()
}

// exporterFor is the exporter for an app's image, or nil.
func exporterFor(all []policy.Exporter, appImage string) *policy.Exporter {
	base := imageBase(appImage)
	for i := range all {
		if base != "" && slices.Contains(all[i].Match, base) {
			return &all[i]
		}
	}
	return nil
}

// exporterPort is the default port of an exporter's image, or 0 for other images.
func exporterPort(all []policy.Exporter, name string) int32 {
	base := imageBase(name)
	for _, e := range all {
		if base != "" && imageBase(e.Image) == base {
			return e.Port
		}
	}
	return exporterPorts[strings.ReplaceAll(base, "_", "-")]
}

func exporterNames(all []policy.Exporter) string {
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
