package rules

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
)

// admin-image-mismatch
//
//	restricted: containers[*].image of Jobs and CronJobs, beside the workloads of their app
//	allowed:    tools and databases; other components; Jobs that run already; apps without a workload in the namespace
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "admin-image-mismatch", Factor: "XII", Levels: policy.At(policy.Warn)},
		Page: policy.Page{
			Title: "A Job runs another build than its app",
			Why: "An admin process belongs to a release: it runs the code and the config of the processes that serve. A migration of an older build doesn't know the newest tables, one of a newer build changes them under the running code, " +
				"and a CronJob that the pipeline forgot does for months what nobody remembers.",
			Fix: "Give the Job the image of the app, with another command, and let the pipeline set both by one value.",
			Allowed: "Images of kubectl, shells, databases and their clients, backups and other tools. Another image than the app's is reported only where the Job says that it is the app, by app.kubernetes.io/name and no component of its own, and the image comes from where the app's does. " +
				"An app is known by app.kubernetes.io/name, instance or part-of; for a Job without these, by its repository. Two instances are two apps. 1.4.2-migrate counts as 1.4.2, 1.4.2-cli as 1.4.2-fpm, 1.4 as any 1.4.x, and a digest as any tag; of an app whose tag moves, such as latest, nobody knows the release. A Job that has begun keeps the release of its day. " + besides,
			Example: "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: reindex}\nspec:\n  schedule: \"@daily\"\n  jobTemplate:\n    spec:\n      activeDeadlineSeconds: 3600\n      template:\n        metadata: {labels: {app.kubernetes.io/name: shop}}\n" +
				"        spec:\n          restartPolicy: Never\n          containers:\n          - {name: reindex, image: \"contoso.azurecr.io/shop:1.4.2\", command: [\"/app/reindex\"]}\n",
		},
		Check: checkAdminImage,
	})
}

const (
	instanceLabel = "app.kubernetes.io/instance"
	partOfLabel   = "app.kubernetes.io/part-of"
)

// tools are images, by words of the last segment of their names, that administrate and are no app.
var tools = regexp.MustCompile(`(^|[-_.])(kubectl|oc|helm|curl|wget|busybox|alpine|debian|ubuntu|bash|sh|git|jq|yq|aws|az|azure|gcloud|cli|client|util|utils|toolbox|toolkit|certgen|wait|dump|pgdump|mysqldump|` +
	`restic|rclone|velero|awscli|azcopy|s3cmd|mc|minio|psql|sqlcmd|mssql|test|tests|e2e|smoke|k6|terraform|vault|trivy|renovate|cleanup|cleaner|pruner|archiver)([-_.0-9]|$)`)

func checkAdminImage(s *Subject, report func(Violation)) {
	if !s.IsJob() {
		return
	}
	labels, begun := s.job()
	all, known := s.neighbours()
	if begun || !known {
		return
	}
	unlabelled := labels[nameLabel] == "" && labels[instanceLabel] == "" && labels[partOfLabel] == ""
	app := slices.DeleteFunc(all, func(n neighbour) bool { return !unlabelled && !sameApp(labels, n.Template.Labels) })
	for i, c := range s.Containers(Main) {
		own, err := image.Parse(c.Image)
		switch {
		case err != nil, tools.MatchString(own.Base()), isDatabase(c):
			continue
		case unlabelled && own.Official():
			continue // a base image says nothing about whose code it runs
		}
		if other, differs := s.otherRelease(own, app); differs {
			report(c.At(".image", fmt.Sprintf("runs %s of %s, while %s runs %s", versionOf(own), own.Repository, other.Workload, versionOf(other.ref)),
				"run the release of the app: image: "+other.image))
		} else if other, differs := s.otherCode(own, labels, app); differs && i == 0 && !isHelper(c) {
			report(c.At(".image", fmt.Sprintf("runs %s, which no workload of %s runs", own.Repository, labels[nameLabel]),
				"run the image of the app with another command: image: "+other.image))
		}
	}
}

// code is what a workload's first container runs.
type code struct {
	neighbour
	image string
	ref   image.Reference
}

// code is not there if the image can't be read.
func (s *Subject) code(n neighbour) (code, bool) {
	for _, c := range n.Template.Spec.Containers {
		if !s.Policy.Ignored(c.Name) {
			ref, err := image.Parse(c.Image)
			return code{n, c.Image, ref}, err == nil
		}
	}
	return code{}, false
}

// otherRelease is the first workload whose code is another build from the repository of a Job's image, if none runs that image.
func (s *Subject) otherRelease(own image.Reference, app []neighbour) (other code, differs bool) {
	for _, n := range app {
		if slices.ContainsFunc(references(&n.Template.Spec), func(r image.Reference) bool { return sameRepository(own, r) && sameRelease(own, r) }) {
			return code{}, false
		}
		found, ok := s.code(n)
		if !ok || !sameRepository(own, found.ref) {
			continue
		}
		if slices.Contains(s.floatingTags(), tagOf(found.ref)) { // nobody knows which release that is: mutable-tag reports it
			return code{}, false
		}
		if !differs {
			other, differs = found, true
		}
	}
	return other, differs
}

// otherCode is the first workload of the same name and component whose code comes from where a Job's image does, if none has
// an image of that repository.
func (s *Subject) otherCode(own image.Reference, labels map[string]string, app []neighbour) (other code, differs bool) {
	for _, n := range app {
		if slices.ContainsFunc(references(&n.Template.Spec), func(r image.Reference) bool { return sameRepository(own, r) }) {
			return code{}, false
		}
		theirs := n.Template.Labels
		found, ok := s.code(n)
		if ok && !differs && labels[nameLabel] != "" && labels[nameLabel] == theirs[nameLabel] && sameOwner(own, found.ref) &&
			(labels[componentLabel] == "" || labels[componentLabel] == theirs[componentLabel]) {
			other, differs = found, true
		}
	}
	return other, differs
}

// sameOwner says whether two images come from one folder of a registry. What Docker keeps there belongs to many.
func sameOwner(a, b image.Reference) bool {
	return a.Registry == b.Registry && path.Dir(a.Repository) == path.Dir(b.Repository) && !a.Official()
}

// job are the labels of the Job or CronJob, which may stand on it alone, and whether the Job has begun.
func (s *Subject) job() (labels map[string]string, begun bool) {
	var job struct {
		Metadata metav1.ObjectMeta
		Status   batchv1.JobStatus
	}
	labels = map[string]string{}
	s.lookup(s.Workload.Kind, s.Workload.Name, &job)
	for _, key := range []string{nameLabel, instanceLabel, partOfLabel, componentLabel} {
		labels[key] = cmp.Or(s.Pod.Labels[key], job.Metadata.Labels[key])
	}
	return labels, !s.Facts.Template || s.Workload.Kind == "Job" && job.Status.StartTime != nil // a pod is there once its Job has begun
}

// sameApp says whether labels name one app.
func sameApp(a, b map[string]string) bool {
	if a[instanceLabel] != "" && b[instanceLabel] != "" && a[instanceLabel] != b[instanceLabel] {
		return false
	}
	return slices.ContainsFunc([]string{nameLabel, instanceLabel, partOfLabel}, func(key string) bool { return a[key] != "" && a[key] == b[key] })
}
