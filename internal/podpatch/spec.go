package podpatch

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/json"
)

// SetEnableServiceLinks sets the field, whatever it is.
func (b *Builder) SetEnableServiceLinks(value bool) {
	setField(b, "enableServiceLinks", &b.pod.Spec.EnableServiceLinks, value)
}

// SetTerminationGracePeriod sets the time that the pod has to end, in seconds.
func (b *Builder) SetTerminationGracePeriod(seconds int64) {
	setField(b, "terminationGracePeriodSeconds", &b.pod.Spec.TerminationGracePeriodSeconds, seconds)
}

// SetActiveDeadline sets the time after which the pod is ended, in seconds.
func (b *Builder) SetActiveDeadline(seconds int64) {
	setField(b, "activeDeadlineSeconds", &b.pod.Spec.ActiveDeadlineSeconds, seconds)
}

func setField[T any](b *Builder, name string, field **T, value T) {
	b.needSpec()
	b.record("add", "/spec/"+name, value)
	*field = &value
}

// SetEmptyDirSizeLimit bounds the i-th volume, which must be an emptyDir.
func (b *Builder) SetEmptyDirSizeLimit(i int, limit resource.Quantity) {
	b.record("add", fmt.Sprintf("/spec/volumes/%d/emptyDir/sizeLimit", i), limit.String())
	b.pod.Spec.Volumes[i].EmptyDir.SizeLimit = &limit
}

// SetImagePullPolicy sets when the container's image is pulled.
func (c *Container) SetImagePullPolicy(policy corev1.PullPolicy) {
	c.b.record("add", c.pointer("imagePullPolicy"), policy)
	c.Get().ImagePullPolicy = policy
}

// AddPort appends a port.
func (c *Container) AddPort(p corev1.ContainerPort) {
	ports := &c.Get().Ports
	addItem(c.b, c.pointer("ports"), ports, len(*ports), p)
}

// SetReadOnlyRootFilesystem lets the container not write to its image.
func (c *Container) SetReadOnlyRootFilesystem() {
	get := c.Get()
	if get.SecurityContext == nil {
		c.b.record("add", c.pointer("securityContext"), struct{}{})
		get.SecurityContext = &corev1.SecurityContext{}
	}
	c.b.record("add", c.pointer("securityContext/readOnlyRootFilesystem"), true)
	get.SecurityContext.ReadOnlyRootFilesystem = new(true)
}

// SetRequest sets what the container requests of a resource.
func (c *Container) SetRequest(name corev1.ResourceName, q resource.Quantity) {
	c.setResource("requests", &c.Get().Resources.Requests, name, q)
}

// SetLimit sets what the container gets of a resource at most.
func (c *Container) SetLimit(name corev1.ResourceName, q resource.Quantity) {
	c.setResource("limits", &c.Get().Resources.Limits, name, q)
}

func (c *Container) setResource(field string, list *corev1.ResourceList, name corev1.ResourceName, q resource.Quantity) {
	switch {
	case len(*list) > 0:
		c.b.record("add", c.pointer("resources/"+field+"/"+escape(string(name))), q.String())
	default:
		if !c.hasResources() {
			c.b.record("add", c.pointer("resources"), struct{}{})
		}
		c.b.record("add", c.pointer("resources/"+field), map[corev1.ResourceName]string{name: q.String()})
		*list = corev1.ResourceList{}
	}
	(*list)[name] = q
	c.resources = true
}

// hasResources says whether the JSON has an object there, which may hold fields that our API types don't know. Those types
// can't tell an empty one from none.
func (c *Container) hasResources() bool {
	if get := c.Get(); c.resources || len(get.Resources.Requests)+len(get.Resources.Limits)+len(get.Resources.Claims) > 0 {
		return true
	}
	if c.origin < 0 {
		return false
	}
	type container struct {
		Resources *struct{} `json:"resources"`
	}
	var pod struct {
		Spec struct {
			InitContainers []container `json:"initContainers"`
			Containers     []container `json:"containers"`
		} `json:"spec"`
	}
	if json.UnmarshalCaseSensitivePreserveInts(c.b.raw, &pod) != nil {
		return false // it was read before
	}
	list := pod.Spec.Containers
	if c.list == initList {
		list = pod.Spec.InitContainers
	}
	return list[c.origin].Resources != nil
}
